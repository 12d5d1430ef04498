# SPDX-License-Identifier: Apache-2.0
"""Waiting for a storage that may never answer, and for a job to be stopped."""

from collections.abc import Callable
import concurrent.futures
import math
import time
from typing import TypeVar

from ebackup_service.repository import background

T = TypeVar('T')

# Whoever waits looks this often (seconds) whether the job has to stop.
LOOK = 0.5


class NotEnded(Exception):
    """A call takes longer than it may."""


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


def begun(call: Callable[[], T]) -> 'concurrent.futures.Future[T]':
    """Make a call of a storage in a thread of its own."""
    return background.begun(call, 'storage-call')


def ended(
    call: Callable[[], T],
    check: Callable[[], None],
    forget: Callable[[T], object] | None = None,
    seconds: float = math.inf,
) -> T:
    """Make a call that nobody can interrupt, and wait for its end.

    It is made in a thread of its own. Whoever stops waiting leaves it there.

    :param check: called about every LOOK seconds; what it raises is passed on
    :param forget: what to do with a result that nobody waits for any more
    :param seconds: to wait at most
    :raises NotEnded: it has not ended in that time
    :raises: what the call raises
    """
    future = begun(call)
    try:
        return awaited(future, check, seconds)
    except BaseException:
        if forget is not None:
            future.add_done_callback(lambda done: _pass_on(done, forget))
        raise


def awaited(
    future: 'concurrent.futures.Future[T]',
    check: Callable[[], None],
    seconds: float = math.inf,
) -> T:
    """Wait for the end of a call; see ended()."""
    end = time.monotonic() + seconds
    while not _ends(future, min(max(end - time.monotonic(), 0.0), LOOK)):
        check()
        if time.monotonic() >= end:
            raise NotEnded
    return future.result()


def _ends(future: 'concurrent.futures.Future[T]', seconds: float) -> bool:
    return bool(concurrent.futures.wait([future], seconds).done)


def _pass_on(
    done: 'concurrent.futures.Future[T]', forget: Callable[[T], object]
) -> None:
    if done.exception() is None:
        forget(done.result())
