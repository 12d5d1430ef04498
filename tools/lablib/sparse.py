# SPDX-License-Identifier: Apache-2.0
"""Files that are holes, mostly."""

from collections.abc import Iterator
import errno
import hashlib
import os
import pathlib

# Bytes that are hashed at a time.
_PIECE = 1 << 20


def digest(path: pathlib.Path) -> str:
    """Return what is the same for files of the same bytes, and of no others.

    Hashed is every MiB in which there is more than zeros, with its place.
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
