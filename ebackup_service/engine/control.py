# SPDX-License-Identifier: Apache-2.0
"""How a job is told to stop, and what keeps it from going on too long."""

from collections.abc import Callable
import math
import threading
import time

from ebackup_service.engine import throttle

# A waiting worker looks this often (seconds) whether it has to stop: a lease
# that is not extended ends without anybody saying so.
_LOOK = 0.2


class JobStopped(Exception):
    """The job was told to stop.

    :param reason: a sentence for the operator
    """

    kind = 'cancelled'

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LeaseLost(JobStopped):
    """Nobody confirmed in time that the job may still touch the volume."""

    kind = 'lease-lost'


class Control:
    """One job's right to go on.

    Workers call check() before every piece of I/O of at most some MiB;
    whoever speaks with the server calls extend() and cancel(). Every attribute
    is replaced as a whole, so there is nothing to lock.

    :param deadline: when the right ends, by the monotonic clock
    :param limiter: shared with other jobs
    """

    def __init__(
        self,
        deadline: float = math.inf,
        limiter: throttle.Limiter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline = deadline
        self._limiter = limiter
        self._clock = clock
        self._reason: str | None = None
        self._last: str | None = None
        self._stopped = threading.Event()

    def extend(self, deadline: float) -> None:
        """Go on until then (monotonic clock); can also shorten."""
        self._deadline = deadline

    def cancel(self, reason: str) -> None:
        """Stop within a second; the first reason is the one reported."""
        if self._reason is None:
            self._reason = reason
        self._stopped.set()

    def wind_down(self, reason: str) -> None:
        """Stop where another run can go on, if there is such a place."""
        if self._last is None:
            self._last = reason

    @property
    def winding_down(self) -> bool:
        return self._last is not None

    def check_wound_down(self) -> None:
        """For who is at such a place.

        :raises: JobStopped
        """
        if self._last is not None:
            raise JobStopped(self._last)

    def check(self) -> None:
        """:raises: JobStopped, LeaseLost"""
        if self._reason is not None:
            raise JobStopped(self._reason)
        if self._clock() >= self._deadline:
            raise LeaseLost(
                'the lease ended: the server did not confirm in time that '
                'this job may go on'
            )

    def throttle(
        self, count: int, check: Callable[[], None] | None = None
    ) -> None:
        """Wait until count more bytes may be moved.

        :param check: what to call while waiting instead of check()
        :raises: JobStopped, LeaseLost, and whatever check raises
        """
        if self._limiter is None:
            return
        check = check or self.check
        end = self._clock() + self._limiter.reserve(count)
        while (rest := end - self._clock()) > 0:
            self._stopped.wait(min(rest, _LOOK))
            check()
