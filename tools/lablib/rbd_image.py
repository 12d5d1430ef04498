# SPDX-License-Identifier: Apache-2.0
"""Read and write the bytes of an RBD image, by the administrator's rights.

    python -m lablib.rbd_image CONF POOL/IMAGE digest
    python -m lablib.rbd_image CONF POOL/IMAGE read OFFSET LENGTH
    python -m lablib.rbd_image CONF POOL/IMAGE write OFFSET

What is read goes to standard output; what is written comes from standard
input. It is run by the lab's Python, which has librbd; ours may not.
"""

from collections.abc import Iterator
import contextlib
import sys

import rados
import rbd

from lablib import sparse


def digest(image: rbd.Image) -> str:
    """Return what sparse.digest() does for a file of the same bytes."""
    size = image.size()
    pieces: dict[int, None] = {}

    def found(offset: int, length: int, exists: bool) -> None:
        if exists:
            pieces.update(dict.fromkeys(sparse.pieces(offset, length)))

    image.diff_iterate(0, size, None, found)

    def read(offset: int, length: int) -> bytes:
        return image.read(offset, min(length, size - offset))

    return sparse.digest_pieces(size, sorted(pieces), read)


@contextlib.contextmanager
def _open(conf: str, pool: str, name: str) -> Iterator[rbd.Image]:
    with (
        rados.Rados(conffile=conf) as cluster,
        cluster.open_ioctx(pool) as context,
        rbd.Image(context, name) as image,
    ):
        yield image


def main(conf: str, place: str, what: str, *numbers: str) -> None:
    pool, _slash, name = place.partition('/')
    with _open(conf, pool, name) as image:
        match what, [int(number) for number in numbers]:
            case 'digest', []:
                print(digest(image))
            case 'read', [offset, length]:
                sys.stdout.buffer.write(image.read(offset, length))
            case 'write', [offset]:
                image.write(sys.stdin.buffer.read(), offset)
                image.flush()


if __name__ == '__main__':
    try:
        main(*sys.argv[1:])
    except (rados.Error, rbd.Error) as error:
        sys.exit(str(error))
