# SPDX-License-Identifier: Apache-2.0
"""A limit of bytes per second, shared by all jobs of a proxy."""

from collections.abc import Callable
import threading
import time


class Limiter:
    """Hands out bytes at a steady rate, in the order in which they are asked.

    May be used by any number of threads. ``_lock`` protects ``_free``, the
    moment from which on nothing is handed out yet.

    :param rate: bytes per second; 0: no limit
    """

    def __init__(
        self, rate: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free = clock()

    def reserve(self, count: int) -> float:
        """Take count bytes; returns the seconds to wait before using them."""
        if not self._rate:
            return 0.0
        now = self._clock()
        with self._lock:
            start = max(now, self._free)
            self._free = start + count / self._rate
        return start - now
