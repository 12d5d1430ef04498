# SPDX-License-Identifier: Apache-2.0
"""Read and write the bytes of an RBD image, by the administrator's rights.

    python -m lablib.rbd_image CONF POOL/IMAGE digest [BEGIN END]
    python -m lablib.rbd_image CONF POOL/IMAGE@SNAPSHOT digest
    python -m lablib.rbd_image CONF POOL/IMAGE read OFFSET LENGTH
    python -m lablib.rbd_image CONF POOL/IMAGE write OFFSET:LENGTH...
    python -m lablib.rbd_image CONF POOL/IMAGE update FILE

Update lets the image hold what the file does, writes no other block, and
prints how many bytes it has written. What is read goes to standard output;
what is written comes from standard input, one piece after the other. It is run
by the lab's Python, which has librbd; ours may not.
"""

from collections.abc import Iterator
import contextlib
import sys
from typing import BinaryIO

import rados
import rbd

from lablib import sparse

_PIECE = 4 << 20
_BLOCK = 4096


def digest(image: rbd.Image, begin: int, end: int) -> str:
    """Return what sparse.digest() does for a file of the same bytes."""
    pieces: dict[int, None] = {}

    def found(offset: int, length: int, exists: bool) -> None:
        if exists:
            pieces.update(dict.fromkeys(sparse.pieces(offset, length)))

    if begin < end:
        image.diff_iterate(begin, end - begin, None, found)

    def read(offset: int, length: int) -> bytes:
        return image.read(offset, min(length, end - offset))

    return sparse.digest_pieces(end - begin, sorted(pieces), read)


def write(image: rbd.Image, place: str, content: BinaryIO) -> None:
    """Write a piece; one of zeros is given back, as far as that is possible.

    :param place: OFFSET:LENGTH
    """
    offset, length = map(int, place.split(':'))
    data = content.read(length)
    if any(data):
        image.write(data, offset)
    elif data:
        image.write_zeroes(offset, length)


@contextlib.contextmanager
def _open(conf: str, pool: str, name: str) -> Iterator[rbd.Image]:
    image_name, _at, snapshot = name.partition('@')
    with (
        rados.Rados(conffile=conf) as cluster,
        cluster.open_ioctx(pool) as context,
        rbd.Image(context, image_name, snapshot or None) as image,
    ):
        yield image


def update(image: rbd.Image, path: str) -> int:
    written = 0
    with open(path, 'rb') as file:
        for offset in range(0, image.size(), _PIECE):
            wanted = file.read(_PIECE)
            found = image.read(offset, len(wanted))
            for start, end in _differences(found, wanted):
                image.write(wanted[start:end], offset + start)
                written += end - start
    image.flush()
    return written


def _differences(one: bytes, other: bytes) -> Iterator[tuple[int, int]]:
    """Yield where runs of blocks that differ begin and end."""
    if one == other:
        return
    begin: int | None = None
    for start in range(0, len(other), _BLOCK):
        end = start + _BLOCK
        if one[start:end] == other[start:end]:
            if begin is not None:
                yield begin, start
            begin = None
        elif begin is None:
            begin = start
    if begin is not None:
        yield begin, len(other)


def main(conf: str, place: str, what: str, *rest: str) -> None:
    pool, _slash, name = place.partition('/')
    with _open(conf, pool, name) as image:
        match what, rest:
            case 'digest', ():
                print(digest(image, 0, image.size()))
            case 'digest', (begin, end):
                print(digest(image, int(begin), int(end)))
            case 'read', (offset, length):
                data = image.read(int(offset), int(length))
                sys.stdout.buffer.write(data)
            case 'write', places:
                for piece in places:
                    write(image, piece, sys.stdin.buffer)
                image.flush()
            case 'update', (path,):
                print(update(image, path))


if __name__ == '__main__':
    try:
        main(*sys.argv[1:])
    except (rados.Error, rbd.Error) as error:
        sys.exit(str(error))
