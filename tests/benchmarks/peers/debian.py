# SPDX-License-Identifier: Apache-2.0
"""Programs that come as Debian packages."""

import os
import shutil
import subprocess

from tests.benchmarks.peers import base


def provide(program: str, package: str) -> str:
    """Have a program on PATH, installing its package if we are root.

    :returns: its path
    :raises Unavailable: it isn't there
    """
    if shutil.which(program) is None and _may_install():
        print(f'installing {package}', flush=True)
        for arguments in (
            ['update'],
            ['install', '-y', '--no-install-recommends', package],
        ):
            subprocess.run(
                ['apt-get', '-qq', *arguments],
                env=os.environ | {'DEBIAN_FRONTEND': 'noninteractive'},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
    found = shutil.which(program)
    if found is None:
        raise base.Unavailable(
            f'not installed: apt-get install --no-install-recommends {package}'
        )
    return found


def first_line(*command: str) -> str:
    """The first line that a command prints."""
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.partition('\n')[0]


def _may_install() -> bool:
    return not os.geteuid() and shutil.which('apt-get') is not None
