# SPDX-License-Identifier: Apache-2.0
"""A real ext4 file system with real files, in a file; needs no mount."""

import os
import pathlib
import shutil
import subprocess

from lablib import console
from lablib import system

_SOURCE = pathlib.Path('/usr/share')
# Bytes; mkfs is slow with tens of thousands of files, and most are tiny.
_SMALLEST = 16_000


def make(image: pathlib.Path, work: pathlib.Path, limit: int) -> None:
    """Make the file system, with files of about so many bytes in it.

    Its size is that of the image, which has to read as zeros. Files are
    collected in `work`.
    """
    shutil.rmtree(work, ignore_errors=True)
    _collect(work / 'files', limit)
    _run('mkfs.ext4', '-q', '-F', '-d', str(work / 'files'), str(image))
    shutil.rmtree(work)


def change(
    image: pathlib.Path, work: pathlib.Path, name: str, size: int
) -> None:
    """Write a new file of random bytes, and replace a small one."""
    work.mkdir(parents=True, exist_ok=True)
    content = work / name
    content.write_bytes(os.urandom(size))
    commands = work / 'commands'
    commands.write_text(
        f'mkdir {name}.d\ncd {name}.d\nwrite {content} {name}\ncd /\n'
        f'rm changed\nwrite {commands} changed\n'
    )
    _run('debugfs', '-w', '-f', str(commands), str(image))
    shutil.rmtree(work)


def check(image: pathlib.Path) -> None:
    """Raise Problem unless the file system is sound."""
    _run('e2fsck', '-f', '-n', str(image))


def _collect(target: pathlib.Path, limit: int) -> None:
    size = 0
    for directory, names, files in os.walk(_SOURCE):
        names.sort()
        for name in sorted(files):
            path = pathlib.Path(directory, name)
            length = path.lstat().st_size
            if path.is_symlink() or length < _SMALLEST:
                continue
            copy = target / path.relative_to(_SOURCE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            size += length
            if size >= limit:
                return


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [system.find(program) or program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise console.Problem(f'{program} failed:\n{done.stdout.strip()}')
