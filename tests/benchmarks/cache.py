# SPDX-License-Identifier: Apache-2.0
"""The same page cache and memory for everybody, and an idle disk."""

from collections.abc import Iterable
import contextlib
import mmap
import os
import pathlib
import time

_PIECE = 1 << 20
# Bytes of memory, more than any of the jobs takes.
_MEMORY = 512 << 20


def warm(*paths: pathlib.Path) -> None:
    """Read files, or all files of directories, into the page cache."""
    buffer = bytearray(_PIECE)
    for path in files(paths):
        with path.open('rb', buffering=0) as file:
            while file.readinto(buffer):
                pass


def settle() -> None:
    """Let nobody wait for what somebody else has written, or for memory.

    The host of a virtual machine may take back what has been free for some
    seconds. It gives that again when it is touched, which takes some 2 ms a
    MiB (measured), now of one and now of another.
    """
    os.sync()
    with mmap.mmap(
        -1, _MEMORY, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    ) as memory:
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
        for offset in range(0, _MEMORY, mmap.PAGESIZE):
            memory[offset] = 1


def flush(*paths: pathlib.Path) -> float:
    """Seconds until what is in files, or below directories, is durable."""
    started = time.monotonic()
    for path in files(paths):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return time.monotonic() - started


def size(path: pathlib.Path) -> int:
    """Bytes in all files below a directory."""
    return sum(one.stat().st_size for one in files([path]))


def files(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    return [
        file
        for path in paths
        for file in ([path] if path.is_file() else sorted(path.rglob('*')))
        if file.is_file()
    ]
