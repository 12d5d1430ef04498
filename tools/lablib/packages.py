# SPDX-License-Identifier: Apache-2.0
"""Install packages of Debian's."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil
import subprocess

from lablib import console

_POLICY = pathlib.Path('/usr/sbin/policy-rc.d')
_INSTALL = ['install', '-y', '--no-install-recommends']
# Somebody else may be at it.
_WAIT = ['-o', 'DPkg::Lock::Timeout=300']


def install(names: list[str]) -> None:
    """Install them, without letting them start services.

    :raises Problem: that is not for us to do, or it failed
    """
    wanted = ' '.join(names)
    if os.geteuid() or not shutil.which('apt-get'):
        raise console.Problem(
            'missing system packages; install them with\n'
            f'  apt-get install --no-install-recommends {wanted}'
        )
    console.say(f'installing {wanted}')
    with _no_services():
        for arguments in ['update'], [*_INSTALL, *names]:
            done = subprocess.run(
                ['apt-get', '-qq', *_WAIT, *arguments],
                env=os.environ | {'DEBIAN_FRONTEND': 'noninteractive'},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode:
                raise console.Problem(
                    f'apt-get could not install {wanted}:\n'
                    f'{done.stdout.strip()}'
                )


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text('#!/bin/sh\nexit 101\n')
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
