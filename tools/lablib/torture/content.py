# SPDX-License-Identifier: Apache-2.0
"""What is written to a volume that is attached nowhere."""

from collections.abc import Iterator
import random

_PIECE = 1 << 20
_CHUNK = 64 << 10
_SECTOR = 512
# Of marks: in bytes, from each to the next.
_DISTANCE = 32 << 20
# Bytes of one piece, at most, and how many of them there are.
_LONGEST = 1 << 20
_MOST = 6
# Bytes that Ceph may name as changed after that: a piece touches two objects
# of 4 MiB, of which it names all if they are new.
NAMED = _MOST * 2 * (4 << 20)


def pieces(
    source: random.Random, begin: int, end: int
) -> Iterator[tuple[int, bytes]]:
    """Yield offsets and data, some of it zeros, as the source of chance says.

    :param begin: offset of the first byte that may be written
    :param end: offset after the last one
    """
    for _ in range(source.randint(1, _MOST)):
        length = source.choice((512, _CHUNK, source.randint(1, _LONGEST)))
        offset = begin + _offset(end - begin - length, source)
        zeros = source.randrange(4) == 0
        yield offset, bytes(length) if zeros else source.randbytes(length)


def marks(source: random.Random, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield offsets and data, all over what ends there, none of it zeros."""
    for begin in range(0, end, _DISTANCE):
        place = source.randrange(begin, min(begin + _DISTANCE, end))
        yield (
            place - place % _SECTOR,
            bytes([source.randint(1, 255)] * _SECTOR),
        )


def _offset(last: int, source: random.Random) -> int:
    """Return a place: anywhere, on a boundary, or near the beginning."""
    place = source.randint(0, last)
    match source.randrange(3):
        case 0:
            return place
        case 1:
            return place - place % _CHUNK
    return place % (8 * _PIECE)
