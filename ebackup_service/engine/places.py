# SPDX-License-Identifier: Apache-2.0
"""How many workers, of all jobs of a process, work at a time.

A worker has memory to read and write with only while it has a place. So the
room for places bounds the memory, whatever the number of jobs.
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

    While there is room for a place for each job, each has one as soon as some
    worker of another has done the task that it is at. If that takes too long
    there is a place more for a while, at most one for each job.

    ``changed`` protects everything here, and what the shares count.

    :ivar free: room that nobody has; less than 0: so much more is taken than
        there is
    :ivar coming: the same, when those have left who have been told to

    :param room: for a place at least; places and rooms are in bytes
    :param size: of a place, if its share needs no more
    """

    def __init__(self, room: int, size: int = 1) -> None:
        if room < size or size < 1:
            raise ValueError(f'room of {room} for places of {size}')
        self.changed = threading.Condition()
        self.room = room
        self.size = size
        self.free = room
        self.coming = room
        # The share of each worker that waits, in the order in which they came.
        self.waiting: list[Share] = []

    def share(self) -> 'Share':
        """What one more job will have of them; nothing yet."""
        return Share(self)

    def next(self) -> 'Share | None':
        """Whose turn it is: of those that wait, the one that has least.

        Nobody overtakes one for whose place there is too little room yet.
        """
        return min(self.waiting, key=lambda share: share.taken, default=None)


class Share:
    """One job's.

    :ivar taken: places that it has
    :ivar staying: those that it need not leave soon
    """

    def __init__(self, places: Places) -> None:
        self.taken = 0
        self.staying = 0
        self._places = places
        self._size = places.size
        self._once = 0

    def need(self, job: int, worker: int) -> None:
        """Room besides that of a usual place, while it has none.

        :param job: once, as long as it has any place
        :param worker: for each place
        """
        with self._places.changed:
            if self.taken:
                raise RuntimeError(f'{self.taken} places are taken already')
            self._size = self._places.size + worker
            self._once = job

    @property
    def most(self) -> int:
        """Places that it may have, if no other job needs room; at least 1."""
        return max((self._places.room - self._once) // self._size, 1)

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
                    fits = places.free >= self._next
                    if starves or (fits and places.next() is self):
                        places.free -= self._next
                        places.coming -= self._next
                        self.taken += 1
                        self.staying += 1
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
            other = places.next()
            wanted = (places.coming < 0 and self.staying > 1) or (
                other is not None
                and places.coming < other._next
                and other.taken + 1 < self.staying
            )
            if wanted:
                places.coming += self._size
                self.staying -= 1
            return wanted

    def leave(self, wanted: bool) -> None:
        """Give a place back; wanted: what is_wanted() has said."""
        places = self._places
        with places.changed:
            self.taken -= 1
            # What the next one would take is what this one took.
            places.free += self._next
            places.coming += self._next
            if wanted:
                places.coming -= self._size
            else:
                self.staying -= 1
            places.changed.notify_all()

    def wake(self) -> None:
        """Let those that wait look whether it is over."""
        with self._places.changed:
            self._places.changed.notify_all()

    @property
    def _next(self) -> int:
        """What one more place takes."""
        return self._size + (0 if self.taken else self._once)


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
