# SPDX-License-Identifier: Apache-2.0
"""Files that are holes, mostly."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import errno
import hashlib
import os
import pathlib

# Bytes that are hashed at a time.
_PIECE = 1 << 20


def digest(path: pathlib.Path, begin: int = 0, end: int | None = None) -> str:
    """Return what is the same for files of the same bytes, and of no others.

    Holes are not read, and count as the zeros that they are.

    :param begin: offset of the first byte that counts, a whole MiB
    :param end: offset after the last one; that of the first bytes is what the
        digest of a shorter file would be. None: all
    """
    with path.open('rb', buffering=0) as file:
        descriptor = file.fileno()
        last = os.fstat(descriptor).st_size if end is None else end

        def read(offset: int, length: int) -> bytes:
            return os.pread(descriptor, min(length, last - offset), offset)

        offsets = _not_holes(descriptor, begin, last)
        return digest_pieces(last - begin, offsets, read)


def digest_pieces(
    size: int, offsets: Iterable[int], read: Callable[[int, int], bytes]
) -> str:
    """Return the digest of anything.

    Hashed is every MiB in which there is more than zeros, with its place.

    :param offsets: of the pieces in which there may be anything, ascending
    :param read: returns the bytes at an offset, of a length or up to the end
    """
    found = hashlib.sha256()
    found.update(size.to_bytes(8))
    for offset in offsets:
        piece = read(offset, _PIECE)
        if piece.count(0) < len(piece):
            found.update(offset.to_bytes(8))
            found.update(piece)
    return found.hexdigest()


def digest_zeros(size: int) -> str:
    """Return the digest of nothing but zeros."""
    return digest_pieces(size, (), lambda offset, length: b'')


def pieces(offset: int, length: int) -> Iterator[int]:
    """Yield the offsets of the pieces that an extent touches."""
    yield from range(offset - offset % _PIECE, offset + length, _PIECE)


def _not_holes(descriptor: int, begin: int, end: int) -> Iterator[int]:
    """Yield the offset of each piece in which there may be anything."""
    offset = begin
    while offset < end:
        try:
            offset = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # a hole up to the end
        offset -= offset % _PIECE
        if offset >= end:
            return
        yield offset
        offset += _PIECE
