# SPDX-License-Identifier: Apache-2.0
"""A production storage that does something else at a certain call.

It wraps any other, with all that is opened of it, and passes the conformance
suite as that does until it is told otherwise:

    storage = faulty.Storage(real)
    storage.faults.at('read', 3, faulty.fail(errors.SourceUnavailable))
    storage.faults.at('take_snapshot', 1, faulty.lose(OSError('no answer')))
"""

from collections.abc import Callable
from collections.abc import Iterator
import threading
from typing import Any

Call = Callable[..., Any]
# Gets the real call, to be made or not, and its arguments.
Fault = Callable[..., Any]


def fail(error: BaseException | type[BaseException]) -> Fault:
    """Nothing happens, and an error is raised."""

    def fault(call: Call, *arguments: Any) -> Any:
        raise error

    return fault


def lose(error: BaseException | type[BaseException]) -> Fault:
    """It happens, and yet an error is raised: the answer was lost."""

    def fault(call: Call, *arguments: Any) -> Any:
        call(*arguments)
        raise error

    return fault


def hang(until: threading.Event) -> Fault:
    """It happens later."""

    def fault(call: Call, *arguments: Any) -> Any:
        until.wait()
        return call(*arguments)

    return fault


def answer(value: Any) -> Fault:
    """Nothing happens, and something else is the answer."""

    def fault(call: Call, *arguments: Any) -> Any:
        return value

    return fault


class Faults:
    """What is to happen when; for any number of threads.

    ``_lock`` protects the counts.

    :ivar calls: verbs, in the order in which they were called
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._planned: dict[tuple[str, int], Fault] = {}
        self._always: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def at(self, verb: str, number: int, fault: Fault) -> None:
        """At the number-th call of the verb from the beginning, from 1 on."""
        self._planned[verb, number] = fault

    def always(self, verb: str, fault: Fault) -> None:
        self._always[verb] = fault

    def make(self, verb: str, call: Call, *arguments: Any) -> Any:
        with self._lock:
            self.calls.append(verb)
            number = self.calls.count(verb)
        fault = self._planned.get((verb, number), self._always.get(verb))
        if fault is None:
            return call(*arguments)
        return fault(call, *arguments)


class _Faulty:
    # Verbs; those that open something, with what wraps that.
    VERBS: dict[str, type['_Faulty'] | None] = {}

    def __init__(self, real: Any, faults: Faults) -> None:
        self.faults = faults
        self._real = real

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name not in self.VERBS:
            return real

        def call(*arguments: Any) -> Any:
            found = self.faults.make(name, real, *arguments)
            wrap = self.VERBS[name]
            if wrap is None or found is None:
                return found
            return wrap(found, self.faults)

        return call


class Source(_Faulty):
    """Each extent is a call of the verb "extent"."""

    VERBS = dict.fromkeys(('expect', 'read', 'confirm', 'close'))

    def extents(self) -> Iterator[Any]:
        extents = self.faults.make('extents', self._real.extents)
        nothing = object()
        while True:
            extent = self.faults.make('extent', next, extents, nothing)
            if extent is nothing:
                return
            yield extent


class Target(_Faulty):
    VERBS = dict.fromkeys(('read_into', 'write', 'zero', 'flush', 'close'))


class Lun(_Faulty):
    VERBS = {
        'take_snapshot': None,
        'find_snapshot': None,
        'reduce_to_anchor': None,
        'drop_snapshot': None,
        'open_source': Source,
        'open_target': Target,
        'close': None,
    }


class Storage(_Faulty):
    VERBS = {'find': Lun, 'find_kept': Lun, 'close': None}

    def __init__(self, real: Any) -> None:
        super().__init__(real, Faults())
