# SPDX-License-Identifier: Apache-2.0
"""What is written to a volume that is attached nowhere."""

import os
import pathlib
import random

_PIECE = 1 << 20
_CHUNK = 64 << 10
# Bytes of one write, at most.
_LONGEST = 1 << 20


def change(path: pathlib.Path, source: random.Random) -> None:
    """Write some data, and some zeros, where the source of chance says."""
    with path.open('r+b', buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        for _ in range(source.randint(1, 6)):
            length = source.choice((512, _CHUNK, source.randint(1, _LONGEST)))
            file.seek(_offset(size - length, source))
            zeros = source.randrange(4) == 0
            file.write(bytes(length) if zeros else source.randbytes(length))


def _offset(last: int, source: random.Random) -> int:
    """Return a place: anywhere, on a boundary, or near the beginning."""
    place = source.randint(0, last)
    match source.randrange(3):
        case 0:
            return place
        case 1:
            return place - place % _CHUNK
    return place % (8 * _PIECE)
