# SPDX-License-Identifier: Apache-2.0
"""How far a job is, and what it did."""

from collections.abc import Callable
from collections.abc import Mapping
import time
from typing import Any


class Counters:
    """What one worker did; written by that worker alone.

    done: bytes of the volume dealt with, holes and unchanged ones included
    bytes_read: from the volume
    bytes_reread: of these: what an interrupted run had read in vain, as far as
        it could tell
    bytes_written: to the volume, zeroed ranges not included
    bytes_zeroed: of the volume, by punching or writing zeros
    bytes_stored: in the repository, as they are stored
    chunks_changed: data that the base does not hold in this place
    chunks_stored: records written; less than changed if content repeats
    chunks_zero: chunks that are holes, or were read and found to be zeros
    """

    __slots__ = (
        'bytes_read',
        'bytes_reread',
        'bytes_stored',
        'bytes_written',
        'bytes_zeroed',
        'chunks_changed',
        'chunks_stored',
        'chunks_zero',
        'done',
    )

    def __init__(self) -> None:
        self.done = 0
        self.bytes_read = 0
        self.bytes_reread = 0
        self.bytes_stored = 0
        self.bytes_written = 0
        self.bytes_zeroed = 0
        self.chunks_changed = 0
        self.chunks_stored = 0
        self.chunks_zero = 0

    def to_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Progress:
    """All workers' counters together.

    Each worker has its own Counters, so that counting takes no lock;
    snapshot(), for any thread, adds them up, and may miss what happens at that
    moment.

    :param size: bytes that ``done`` will reach
    """

    def __init__(
        self, size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.size = size
        self._clock = clock
        self._started = clock()
        self._counters: list[Counters] = []
        self._done_before = 0

    def worker(self) -> Counters:
        """Counters for one more worker."""
        counters = Counters()
        self._counters.append(counters)
        return counters

    def go_on(self, total: Mapping[str, int]) -> None:
        """Count on from what an earlier run's total() was."""
        counters = self.worker()
        for name in Counters.__slots__:
            setattr(counters, name, total.get(name, 0))
        self._done_before += counters.done

    def total(self) -> dict[str, int]:
        """Counter name -> sum over all workers."""
        return {
            name: sum(getattr(counters, name) for counters in self._counters)
            for name in Counters.__slots__
        }

    def snapshot(self) -> dict[str, Any]:
        """What the job's progress shows; rate: bytes/s, remaining: seconds.

        rate and remaining count this run only; percent is 100 only when
        everything is done; remaining is None while there is nothing to
        estimate it from.
        """
        total = self.total()
        done = min(total.pop('done'), self.size)
        here = max(done - self._done_before, 0)
        rate = here / max(self._clock() - self._started, 0.001)
        rest = self.size - done
        return {
            'percent': 100 * done // self.size if self.size else 100,
            'bytes_total': self.size,
            'bytes_done': done,
            **total,
            'rate': int(rate),
            'remaining': int(rest / rate) if rate else None,
        }
