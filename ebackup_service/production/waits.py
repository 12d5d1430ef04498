# SPDX-License-Identifier: Apache-2.0
"""Waiting for a storage that may never answer, and for a job to be stopped."""

from collections.abc import Callable
import time

# Whoever waits looks this often (seconds) whether the job has to stop.
LOOK = 0.5


def until(
    ready: Callable[[float], bool],
    seconds: float,
    check: Callable[[], None],
) -> bool:
    """Wait until something is ready.

    :param ready: waits for at most so many seconds, and says whether it is
    :param seconds: to wait at most; at least one look is taken
    :param check: called about every LOOK seconds; what it raises is passed on
    :return: whether it became ready
    """
    end = time.monotonic() + seconds
    while True:
        check()
        rest = end - time.monotonic()
        if ready(min(max(rest, 0.0), LOOK)):
            return True
        if time.monotonic() >= end:
            return False
