# SPDX-License-Identifier: Apache-2.0
"""Waiting for librados and librbd, whose calls nobody can interrupt.

A call that blocks is made in a thread of its own, an asynchronous one ends in
a thread of librbd. The caller only waits, looks now and then whether his job
has to stop, and then goes away; what is under way ends by itself, when Ceph
answers or its own time limits are over.
"""

from collections.abc import Callable
from collections.abc import Sequence
import errno
import functools
import os
import queue
import threading
import time
from typing import Any
from typing import TypeVar

from ebackup_service.production import waits

T = TypeVar('T')

# Begins an asynchronous call that, at its end, calls the argument with the
# completion and, if it reads, what was read.
Start = Callable[[Callable[..., None]], object]


class Calls:
    """For any number of threads.

    :param check: raises when the job has to stop
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def run(
        self,
        call: Callable[[], T],
        forget: Callable[[T], object] | None = None,
    ) -> T:
        """Make a call that blocks.

        :param forget: what to do with a result that nobody waits for any more
        :raises: what the call, or the check, raises
        """
        return waits.ended(call, self._check, forget)

    def gather(self, starts: Sequence[Start]) -> list[bytes]:
        """Make asynchronous calls, all at the same time.

        :param starts: each begins one
        :returns: what each has read
        :raises: OSError
        """
        return Gathering(starts, self._check).wait()[0]

    def begin(self, starts: Sequence[Start]) -> 'Gathering':
        """As gather() does, but to be waited for later, by any thread."""
        return Gathering(starts, self._check)

    def pause(self, seconds: float) -> None:
        """Wait; a second at most."""
        self._check()
        time.sleep(seconds)


class Gathering:
    """Asynchronous calls that are under way.

    Any number of threads may wait. ``_lock`` is held by the one that does,
    and protects what has ended so far.
    """

    def __init__(
        self, starts: Sequence[Start], check: Callable[[], None]
    ) -> None:
        self._check = check
        self._ended: queue.SimpleQueue[tuple[int, int, bytes | None, float]]
        self._ended = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._missing = len(starts)
        self._found = [b''] * len(starts)
        self._last = 0.0
        self._failure = 0
        for number, start in enumerate(starts):
            try:
                start(functools.partial(self._end, number))
            except Exception as error:
                # Of those before it somebody has to see the end.
                code = getattr(error, 'errno', None) or errno.EIO
                self._ended.put((number, -code, None, time.monotonic()))

    def wait(self) -> tuple[list[bytes], float]:
        """What each has read, and when the last one had.

        :raises: OSError, when all have ended; what the check raises
        """
        with self._lock:
            if self._missing:
                # Of many that wait for this, each looks when its turn comes.
                self._check()
            while self._missing:
                try:
                    ended = self._ended.get(timeout=waits.LOOK)
                except queue.Empty:
                    self._check()
                    continue
                self._missing -= 1
                number, code, data, when = ended
                self._found[number] = data or b''
                self._last = max(self._last, when)
                self._failure = self._failure or min(code, 0)
            if self._failure:
                raise OSError(-self._failure, os.strerror(-self._failure))
            return self._found, self._last

    def _end(
        self, number: int, completion: Any, data: bytes | None = None
    ) -> None:
        """Called by a thread of librbd."""
        code = completion.get_return_value()
        self._ended.put((number, code, data, time.monotonic()))
