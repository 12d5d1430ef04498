# SPDX-License-Identifier: Apache-2.0
"""Writing an image, some requests behind who writes.

Each write is cut into requests, which are copies, and under way when write()
returns: whoever writes gets on with what comes next. What went wrong is told
to whoever writes later, and at the latest to who flushes.
"""

import collections
import functools
import threading
from typing import NamedTuple

from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_cluster

# Bytes that may be under way when write() returns.
MOST = 16 << 20
# Bytes of one request to write. With those of a whole object the OSD needs
# more time.
_PIECE = 1 << 20
# Bytes that are zeroed in one request: whole objects, where it can be.
_ZEROED = 64 << 20


class _Begun(NamedTuple):
    offset: int
    length: int
    calls: rbd_calls.Gathering


class Writes:
    """For any number of threads.

    ``_lock`` protects ``_begun``, what is under way, the oldest first, and
    ``_bytes``, how much that is. What has failed stays there, so that nobody
    who writes, or flushes, misses it.
    """

    def __init__(
        self, calls: rbd_calls.Calls, image: rbd_cluster.Image
    ) -> None:
        self._calls = calls
        self._image = image
        self._lock = threading.Lock()
        self._begun: collections.deque[_Begun] = collections.deque()
        self._bytes = 0

    def write(self, offset: int, buffer: memoryview) -> None:
        """Begin to write; the buffer may be used for something else then.

        :raises OSError: of an earlier one
        """
        length = len(buffer)
        self.settle(offset, length)
        calls = self._calls.begin(
            [
                functools.partial(
                    self._image.aio_write,
                    bytes(buffer[start : start + _PIECE]),
                    offset + start,
                )
                for start in range(0, length, _PIECE)
            ]
        )
        with self._lock:
            self._begun.append(_Begun(offset, length, calls))
            self._bytes += length
        self._wait(MOST)

    def zero(self, offset: int, length: int) -> None:
        """By "write zeroes": a discard may leave, or uncover, other bytes.

        :raises OSError: of this, or of what is under way there
        """
        self.settle(offset, length)
        end = offset + length
        for start in range(offset, end, _ZEROED):
            size = min(_ZEROED, end - start)
            self._calls.gather(
                [functools.partial(self._image.aio_write_zeroes, start, size)]
            )

    def settle(self, offset: int, length: int) -> None:
        """Wait until nothing is under way there: librbd keeps no order.

        :raises OSError: of what was
        """
        end = offset + length
        with self._lock:
            found = [
                one.calls
                for one in self._begun
                if one.offset < end and offset < one.offset + one.length
            ]
        for calls in found:
            calls.wait()

    def flush(self) -> None:
        """Nobody writes meanwhile.

        :raises OSError: of this, or of anything that was begun before
        """
        self._wait(0)
        self._calls.gather([self._image.aio_flush])

    def _wait(self, most: int) -> None:
        """Until no more bytes are under way than that."""
        while True:
            with self._lock:
                if self._bytes <= most:
                    return
                oldest = self._begun[0]
            oldest.calls.wait()
            with self._lock:
                if self._begun and self._begun[0] is oldest:
                    self._begun.popleft()
                    self._bytes -= oldest.length
