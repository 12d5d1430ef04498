# SPDX-License-Identifier: Apache-2.0
"""Processes that use a simulated system: killed, or taking turns."""

from collections.abc import Callable, Iterator
import contextlib
import random
import threading

from tests.unit.ebackup_service.repository import recording
from tests.unit.ebackup_service.repository.storage import simulated


@contextlib.contextmanager
def killed(system: simulated.System, changes: int) -> Iterator[None]:
    """Kill who uses the system before one of its changes, for good.

    Nothing that it does on its way out does anything. Ends the block; a
    process that ends before raises as well.

    :param changes: how many it makes before
    :raises LookupError: it has ended before
    """
    left = changes

    def before(call: str) -> None:
        nonlocal left
        if call in simulated.CHANGES:
            left -= 1
        if left < 0:
            raise recording.Crash

    system.before = before
    try:
        yield
    except recording.Crash:
        return
    finally:
        system.before = lambda call: None
    raise LookupError(f'it ends after {changes - left} changes')


def take_turns(
    system: simulated.System,
    generator: random.Random,
    *processes: Callable[[], None],
) -> None:
    """Run processes at once, one call of one of them at a time.

    :raises: the first exception of a process, when all have ended
    """
    turns = _Turns(generator, len(processes))
    system.before = turns.next
    threads = [
        threading.Thread(target=turns.run, args=(number, process))
        for number, process in enumerate(processes)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        system.before = lambda call: None
    if turns.failure is not None:
        raise turns.failure


class _Turns:
    """``_changed`` protects all: whose turn it is, and who still runs."""

    def __init__(self, generator: random.Random, count: int) -> None:
        self.failure: BaseException | None = None
        self._generator = generator
        self._running = list(range(count))
        self._current = generator.choice(self._running)
        # Some bugs take many changes of turns, others a process that sleeps.
        self._haste = generator.choice((1.0, 0.3, 0.1, 0.03))
        self._changed = threading.Condition()
        self._own = threading.local()

    def run(self, number: int, process: Callable[[], None]) -> None:
        self._own.number = number
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._current == number)
            process()
        except BaseException as error:
            self.failure = self.failure or error
        finally:
            with self._changed:
                self._running.remove(number)
                self._choose()

    def next(self, call: str) -> None:
        if self._generator.random() >= self._haste:
            return
        number = self._own.number
        with self._changed:
            self._choose()
            self._changed.wait_for(lambda: self._current == number)

    def _choose(self) -> None:
        if self._running:
            self._current = self._generator.choice(self._running)
            self._changed.notify_all()
