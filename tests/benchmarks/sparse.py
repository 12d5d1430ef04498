# SPDX-License-Identifier: Apache-2.0
"""Large volumes that are mostly holes."""

from collections.abc import Iterable
from collections.abc import Iterator
import os
import pathlib
import random

from tests.benchmarks import data

SIZES = {'4g': 4 << 30, '64g': 64 << 30, '256g': 256 << 30, '1t': 1 << 40}
_PIECE = 16 << 20  # what a leaf of the tree covers


def make(path: pathlib.Path, size: int, filled: int) -> None:
    """A volume of random bytes from the start on, and a hole behind them."""
    fill(path, 0, [(0, filled)])
    os.truncate(path, size)


def fill(
    path: pathlib.Path, seed: int, ranges: Iterable[tuple[int, int]]
) -> None:
    """Write other random bytes to some (offset, length)."""
    with open(path, 'r+b' if path.exists() else 'x+b') as file:
        for offset, content in pieces(seed, ranges):
            file.seek(offset)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())


def pieces(
    seed: int, ranges: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, bytes]]:
    """Where to write which random bytes, so that all (offset, length) are.

    The same for the same seed.
    """
    choose = random.Random(seed)
    for start, length in ranges:
        for done in range(0, length, data.MIB):
            size = min(data.MIB, length - done)
            yield start + done, choose.randbytes(size)


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
