# SPDX-License-Identifier: Apache-2.0
"""The bytes of a volume that is attached nowhere."""

from collections.abc import Iterator
import errno
import hashlib
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


def digest(path: pathlib.Path) -> str:
    """Return what is the same for files of the same bytes, and of no others.

    Holes are not read, and count as the zeros that they are.
    """
    found = hashlib.sha256()
    with path.open('rb', buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        found.update(size.to_bytes(8))
        for offset in _not_holes(file.fileno(), size):
            piece = os.pread(file.fileno(), _PIECE, offset)
            if piece.count(0) < len(piece):
                found.update(offset.to_bytes(8))
                found.update(piece)
    return found.hexdigest()


def _not_holes(descriptor: int, size: int) -> Iterator[int]:
    """Yield the offset of each piece in which there may be anything."""
    offset = 0
    while offset < size:
        try:
            offset = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # a hole up to the end
        offset -= offset % _PIECE
        yield offset
        offset += _PIECE
