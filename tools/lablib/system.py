# SPDX-License-Identifier: Apache-2.0
"""What has to come from the system: programs, and a Python for the venv."""

import os
import pathlib
import shutil
import subprocess
import sys

from lablib import console

# Debian keeps some of them off an ordinary user's PATH.
_PATH = os.pathsep.join(
    [os.environ.get('PATH', ''), '/usr/sbin', '/sbin', '/usr/local/sbin']
)
_ALWAYS = {'cp': 'coreutils', 'mkfs.ext4': 'e2fsprogs'}
_AS_ROOT = {
    'losetup': 'mount',
    'mount': 'mount',
    'umount': 'mount',
}
_PROCESSES = {
    'mariadbd': 'mariadb-server',
    'mariadb-install-db': 'mariadb-server',
    '/usr/lib/rabbitmq/bin/rabbitmq-server': 'rabbitmq-server',
    'epmd': 'erlang-base',
}


def find(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


def is_root() -> bool:
    return os.geteuid() == 0


def check(profile: str) -> None:
    """Name the packages whose programs are missing, with the command."""
    wanted = dict(_ALWAYS)
    if is_root():
        wanted |= _AS_ROOT
    if profile == 'processes':
        wanted |= _PROCESSES
    if is_root() and not os.path.exists('/dev/loop-control'):
        raise console.Problem(
            'no /dev/loop-control, by which root attaches volumes as block '
            'devices: run this as another user, for whom they are plain files'
        )
    missing = {package for name, package in wanted.items() if not find(name)}
    if not _venv_pythons():
        missing.add('python3-venv')
    if missing:
        raise console.Problem(
            'missing system packages; install them with\n'
            '  apt-get install --no-install-recommends '
            + ' '.join(sorted(missing))
        )


def python() -> str:
    """Return the interpreter on which the lab's venv is to be based.

    The eBackup service runs as a user of its own, who has to be able to read
    it: one below somebody's home usually can't be.
    """
    return _venv_pythons()[0]


def _venv_pythons() -> list[str]:
    candidates = ['/usr/bin/python3']
    running = os.path.realpath(getattr(sys, '_base_executable', ''))
    if open_to_all(pathlib.Path(running)) or not is_root():
        candidates.insert(0, running)
    return [path for path in candidates if _can_make_venv(path)]


def _can_make_venv(path: str) -> bool:
    test = 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
    try:
        return (
            subprocess.run(
                [path, '-c', test], stderr=subprocess.DEVNULL
            ).returncode
            == 0
        )
    except OSError:
        return False


def open_to_all(path: pathlib.Path) -> bool:
    """Tell whether everybody may pass through all directories above."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)
