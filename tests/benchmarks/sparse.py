# SPDX-License-Identifier: Apache-2.0
"""Large volumes that are mostly holes."""

from collections.abc import Iterable
import os
import pathlib
import random

from tests.benchmarks import data

SIZES = {'4g': 4 << 30, '64g': 64 << 30, '1t': 1 << 40}
_PIECE = 16 << 20  # what a leaf of the tree covers


def make(path: pathlib.Path, size: int, filled: int) -> None:
    """A volume of random bytes from the start on, and a hole behind them."""
    fill(path, 0, [(0, filled)])
    os.truncate(path, size)


def fill(
    path: pathlib.Path, seed: int, ranges: Iterable[tuple[int, int]]
) -> None:
    """Write other random bytes to some (offset, length)."""
    choose = random.Random(seed)
    with open(path, 'r+b' if path.exists() else 'x+b') as file:
        for start, length in ranges:
            file.seek(start)
            for done in range(0, length, data.MIB):
                file.write(choose.randbytes(min(data.MIB, length - done)))
        file.flush()
        os.fsync(file.fileno())


def scatter(source: pathlib.Path, target: pathlib.Path, size: int) -> None:
    """Spread a volume over a larger one, evenly: same data, more holes."""
    with source.open('rb') as old, target.open('wb') as new:
        new.truncate(size)
        old_size = os.fstat(old.fileno()).st_size
        apart = size // old_size
        for start, end in data.extents(old.fileno(), old_size):
            position = start
            while position < end:
                piece, within = divmod(position, _PIECE)
                length = min(_PIECE - within, end - position)
                old.seek(position)
                new.seek(piece * apart * _PIECE + within)
                new.write(old.read(length))
                position += length
        os.fsync(new.fileno())
