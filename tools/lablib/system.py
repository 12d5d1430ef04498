# SPDX-License-Identifier: Apache-2.0
"""What has to come from the system: programs, and a Python for the venv."""

import os
import pathlib
import shutil
import subprocess
import sys

from lablib import console
from lablib import packages

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
_CEPH = {
    'ceph': 'ceph-common',
    'ceph-mgr': 'ceph-mgr',
    'ceph-mon': 'ceph-mon',
    'ceph-osd': 'ceph-osd',
    'qemu-img': 'qemu-utils',
    'radosgw': 'radosgw',
    'unshare': 'util-linux',
}
# Of Debian's Python; they are on no index from which a venv gets its own.
BINDINGS = {
    'libnbdmod': 'python3-libnbd',
    'nbd': 'python3-libnbd',
    'rados': 'python3-rados',
    'rbd': 'python3-rbd',
}
_DEBIAN = '/usr/bin/python3'


def find(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


def is_root() -> bool:
    return os.geteuid() == 0


def check(profile: str) -> None:
    """See that packages are there; root installs those that are not.

    :raises Problem: there is something missing that we can't install
    """
    wanted = dict(_ALWAYS)
    if is_root():
        wanted |= _AS_ROOT
    if profile == 'processes':
        wanted |= _PROCESSES
    if profile == 'ceph':
        wanted |= _CEPH
        if not is_root():
            raise console.Problem(
                'profile ceph needs root: Cinder looks for keyrings in '
                "/etc/ceph, where only root can put the lab's for it alone"
            )
    if is_root() and not os.path.exists('/dev/loop-control'):
        raise console.Problem(
            'no /dev/loop-control, by which root attaches volumes as block '
            'devices: run this as another user, for whom they are plain files'
        )
    missing = {package for name, package in wanted.items() if not find(name)}
    if profile == 'ceph':
        there = bindings()
        missing |= {p for name, p in BINDINGS.items() if name not in there}
    if not _venv_pythons(profile):
        missing.add('python3-venv')
    if missing:
        packages.install(sorted(missing))


def python(profile: str) -> str:
    """Return the interpreter on which the lab's venv is to be based.

    The eBackup service runs as a user of its own, who has to be able to read
    it: one below somebody's home usually can't be. Bindings are made for
    Debian's.
    """
    return _venv_pythons(profile)[0]


def bindings() -> dict[str, pathlib.Path]:
    """Return the files of the modules of BINDINGS that Debian's Python has."""
    program = (
        'from importlib import util; import sys\n'
        'for name in sys.argv[1:]:\n'
        '    found = util.find_spec(name)\n'
        '    if found: print(name, found.origin)\n'
    )
    try:
        printed = subprocess.check_output(
            [_DEBIAN, '-I', '-c', program, *BINDINGS], text=True
        )
    except OSError:
        return {}
    lines = [line.split(' ', 1) for line in printed.splitlines()]
    return {name: pathlib.Path(file) for name, file in lines}


def _venv_pythons(profile: str) -> list[str]:
    candidates = [_DEBIAN]
    running = os.path.realpath(getattr(sys, '_base_executable', ''))
    readable = open_to_all(pathlib.Path(running)) or not is_root()
    if readable and profile != 'ceph':
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
