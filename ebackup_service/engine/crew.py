# SPDX-License-Identifier: Apache-2.0
"""The worker threads of one job."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import os
import threading
from typing import Generic
from typing import TypeVar

from ebackup_service.engine import control as job_control


T = TypeVar('T')


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def default_size(waits: bool = True) -> int:
    """Workers of a job: one for each processor core.

    And one more if they wait for a storage: no core is idle meanwhile. Where
    they don't, it would but take the interpreter's lock from the others.
    """
    return cores() + waits


class Abandoned(Exception):
    """Another worker failed; this one stops without a failure of its own."""


class Crew:
    """Runs workers until all are done or one of them fails.

    ``_failure`` is set once, with ``_lock`` held, by the first worker that
    fails; the others see it at their next check().
    """

    def __init__(self, control: job_control.Control) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def check(self) -> None:
        """For workers: before every piece of I/O of at most some MiB.

        :raises: Abandoned, JobStopped; let them pass
        """
        if self._failure is not None:
            raise Abandoned
        self._control.check()

    def pace(self, count: int) -> None:
        """check(), and wait until count more bytes may be moved."""
        self.check()
        self._control.throttle(count, self.check)

    def run(
        self,
        workers: Sequence[Callable[[], None]],
        follow: Callable[[], None] = lambda: None,
    ) -> None:
        """Run each in a thread of its own, until all have returned.

        :param follow: runs in this thread meanwhile; a worker like the others
        :raises: what the first worker that failed raised
        """
        threads = [
            threading.Thread(
                target=self._work, args=(worker,), name=f'engine-{number}'
            )
            for number, worker in enumerate(workers)
        ]
        started: list[threading.Thread] = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
        except BaseException as e:
            self._fail(e)
        self._work(follow)
        for thread in started:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self, worker: Callable[[], None]) -> None:
        try:
            worker()
        except Abandoned:
            pass
        except BaseException as e:
            self._fail(e)

    def _fail(self, failure: BaseException) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = failure


class Shared(Generic[T]):
    """What several threads take from one iterable; each item goes to one.

    ``_lock`` protects the iterator, generators can't be entered twice.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._lock = threading.Lock()
        self._items = iter(items)
        self._over = False

    def is_over(self) -> bool:
        """Whether nothing is left; known once somebody has asked for it."""
        return self._over

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            try:
                return next(self._items)
            except StopIteration:
                self._over = True
                raise
