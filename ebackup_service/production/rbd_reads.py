# SPDX-License-Identifier: Apache-2.0
"""Reading an image, several requests at a time, some ahead of who reads.

Each read is cut into requests that are under way together. What is expected is
begun at once, so that it is there, or on its way, when whoever expects it has
dealt with what he read before.
"""

import functools
import threading

from ebackup_service.production import errors
from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_cluster

# Bytes of one request: an object has that many, unless an image was made with
# others. With requests of 1 MiB librbd and OSDs take an eighth more.
_PIECE = 4 << 20
# Bytes that each thread takes that reads: what it deals with, what it expects,
# both once more where librbd receives them, and what the allocator keeps of
# that (measured with one to eight threads).
TAKEN = 28 << 20

# LIBRADOS_OP_FLAG_FADVISE_SEQUENTIAL and …_NOCACHE, as of "rbd export": OSDs
# keep in memory what others read again, and not what a backup reads once.
_ADVICE = 0x8 | 0x40


class Reads:
    """For any number of threads.

    ``_lock`` protects ``_begun``: what is expected, by offset and length.
    """

    def __init__(
        self, calls: rbd_calls.Calls, image: rbd_cluster.Image
    ) -> None:
        self._calls = calls
        self._image = image
        self._lock = threading.Lock()
        self._begun: dict[tuple[int, int], rbd_calls.Gathering] = {}

    def expect(self, offset: int, length: int) -> None:
        begun = self._begin(offset, length)
        with self._lock:
            self._begun[offset, length] = begun

    def read(self, offset: int, buffer: memoryview) -> memoryview:
        """See base.Source; what came as one piece is not copied.

        :raises: SizeMismatch, OSError
        """
        pieces = self._pieces(offset, len(buffer))
        if len(pieces) == 1:
            return memoryview(pieces[0])
        _join(pieces, buffer)
        return buffer

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer.

        :raises: SizeMismatch, OSError
        """
        _join(self._pieces(offset, len(buffer)), buffer)

    def forget(self) -> None:
        """What is expected is not wanted any more."""
        with self._lock:
            self._begun.clear()

    def _pieces(self, offset: int, length: int) -> list[bytes]:
        with self._lock:
            begun = self._begun.pop((offset, length), None)
        if begun is None:
            begun = self._begin(offset, length)
        pieces = begun.wait()
        for start, piece in zip(range(0, length, _PIECE), pieces, strict=True):
            # Of the last request librbd reads less where the image ends.
            if len(piece) != min(_PIECE, length - start):
                raise errors.SizeMismatch(
                    f'an image ended at byte {offset + start + len(piece)}, '
                    'it is shorter than it was when it was opened: was the '
                    'volume shrunk?'
                )
        return pieces

    def _begin(self, offset: int, length: int) -> rbd_calls.Gathering:
        return self._calls.begin(
            [
                functools.partial(
                    self._image.aio_read,
                    offset + start,
                    min(_PIECE, length - start),
                    fadvise_flags=_ADVICE,
                )
                for start in range(0, length, _PIECE)
            ]
        )


def _join(pieces: list[bytes], buffer: memoryview) -> None:
    """Here, and not when a request ends.

    Whoever stopped waiting may have given the buffer to something else.
    """
    filled = 0
    for piece in pieces:
        buffer[filled : filled + len(piece)] = piece
        filled += len(piece)
