# SPDX-License-Identifier: Apache-2.0
"""Requests that are answered when something has happened, or after a while.

Each keeps a thread meanwhile. So half of the threads may be kept, and who
comes when they are is answered at once, as if nobody ever waited.
"""

from collections.abc import Callable
import threading
import time
from typing import TypeVar

T = TypeVar('T')

# Seconds between two looks.
_PAUSE = 0.05


class Waits:
    """For any number of threads.

    :param threads: that answer requests; 0 if that is not known
    """

    def __init__(self, threads: int) -> None:
        self._places = threading.Semaphore(threads // 2)
        self._over = threading.Event()

    def end(self) -> None:
        """Have all answered now, and whoever comes later at once."""
        self._over.set()

    def until(
        self,
        happened: Callable[[T], bool],
        found: T,
        look: Callable[[], T],
        seconds: float,
    ) -> T:
        """What was found, or is in the end.

        :param happened: whether what is found needs no waiting any more
        :param look: finds it again; what it raises is raised
        """
        if happened(found) or not self._places.acquire(blocking=False):
            return found
        try:
            deadline = time.monotonic() + seconds
            while not happened(found) and not self._over.is_set():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                time.sleep(min(_PAUSE, left))
                found = look()
            return found
        finally:
            self._places.release()
