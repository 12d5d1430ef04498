# SPDX-License-Identifier: Apache-2.0
"""How many workers, of all jobs of a process, work at a time.

A worker has memory to read and write with only while it has a place. So the
number of places bounds the memory, whatever the number of jobs.
"""

from collections.abc import Callable
from collections.abc import Iterator
import threading
import time
from typing import TypeVar

from ebackup_service.engine import crew

T = TypeVar('T')

# A worker that waits looks this often (seconds) whether it has to stop.
_LOOK = 0.2
# Seconds after which a job that has no place gets one, though there is none:
# those who should give one hang in their storage, which may never end.
_PATIENCE = 30.0


class Places:
    """Places that jobs share, as evenly as they want them.

    While there are at least as many places as jobs, each job has one as soon
    as some worker of another has done the task that it is at. If that takes
    too long there is a place more for a while, at most one for each job.

    ``changed`` protects everything here, and what the shares count.

    :ivar free: less than 0: so many more are taken than there are

    :param count: at least 1
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f'{count} places')
        self.changed = threading.Condition()
        self.free = count
        # Places that will be free in a moment, and the share of each worker
        # that waits, in the order in which they came.
        self.leaving = 0
        self.waiting: list[Share] = []

    def share(self) -> 'Share':
        """What one more job will have of them; nothing yet."""
        return Share(self)

    def next(self) -> 'Share | None':
        """Whose turn it is: of those that wait, the one that has least."""
        return min(self.waiting, key=lambda share: share.taken, default=None)


class Share:
    """One job's.

    :ivar taken: places that it has
    """

    def __init__(self, places: Places) -> None:
        self.taken = 0
        self._places = places

    def place(self) -> 'Place':
        """For one more worker; it has none yet."""
        return Place(self)

    def take(
        self, check: Callable[[], None], is_over: Callable[[], bool]
    ) -> bool:
        """Wait for a place; False: is_over() came first.

        :param check: called while waiting; raises to give up
        """
        places = self._places
        began = time.monotonic()
        with places.changed:
            places.waiting.append(self)
            try:
                while not is_over():
                    starves = (
                        not self.taken
                        and time.monotonic() - began >= _PATIENCE
                    )
                    if starves or (places.free > 0 and places.next() is self):
                        places.free -= 1
                        self.taken += 1
                        return True
                    places.changed.wait(_LOOK)
                    check()
                return False
            finally:
                places.waiting.remove(self)
                places.changed.notify_all()

    def is_wanted(self) -> bool:
        """Whether a place has to go to a job that has fewer, or to nobody.

        Whoever is told so leaves() soon.
        """
        places = self._places
        with places.changed:
            rest = places.free + places.leaving
            other = places.next()
            wanted = (rest < 0 and self.taken > 1) or (
                rest == 0
                and other is not None
                and other.taken + 1 < self.taken
            )
            places.leaving += wanted
            return wanted

    def leave(self, wanted: bool) -> None:
        """Give a place back; wanted: what is_wanted() has said."""
        places = self._places
        with places.changed:
            places.leaving -= wanted
            places.free += 1
            self.taken -= 1
            places.changed.notify_all()

    def wake(self) -> None:
        """Let those that wait look whether it is over."""
        with self._places.changed:
            self._places.changed.notify_all()


class Place:
    """One worker's; belongs to one thread at a time."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._taken = False
        self._wanted = False

    def work(
        self,
        tasks: crew.Shared[T],
        check: Callable[[], None],
        give_back: Callable[[], None],
    ) -> Iterator[T]:
        """The tasks that this worker gets; it has a place for each.

        It may still have one afterwards: close() gives it back.

        :param check: raises to stop while there is no place
        :param give_back: gives the worker's memory back, when its place goes
            to another job
        """
        while True:
            if self._taken and self._share.is_wanted():
                self._wanted = True
                give_back()
                self.close()
            if not self._taken:
                if not self._share.take(check, tasks.is_over):
                    return
                self._taken = True
            try:
                task = next(tasks)
            except StopIteration:
                self._share.wake()
                return
            yield task

    def close(self) -> None:
        """Give the place back, if there is one."""
        if self._taken:
            self._taken = False
            self._share.leave(self._wanted)
            self._wanted = False
