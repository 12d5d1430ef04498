# SPDX-License-Identifier: Apache-2.0
"""What a process does next, given what its calls have met so far.

The code of a process runs as it is, in a greenlet that stops at each of its
calls. It depends on nothing but their results; so what it does after some
results is found out once and then known. Who looks at all interleavings of
some processes meets the same results of one of them again and again.

A process may say what it still knows (tell()). What is known of one that said
the same before is then taken for known of it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import greenlet

from tests.unit.ebackup_service.repository.storage import stepwise

# A process: makes its calls by what it is given.
Code = Callable[[stepwise.Caller], None]

_TELL = 'tell'


class Powers(NamedTuple):
    """What a process may still do.

    Objects by their keys, or by prefixes that end with a slash.

    :ivar creates: objects
    :ivar deletes: objects
    :ivar reads: objects, and lists
    :ivar misses: objects; that others come isn't noticed, only that they go
    :ivar asks: verbs of calls to the catalog
    """

    creates: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()
    asks: frozenset[str] = frozenset()

    def allow(self, call: stepwise.Call) -> bool:
        if call.party != stepwise.STORAGE:
            return call.verb in self.asks
        allowed = {'create': self.creates, 'delete': self.deletes}.get(
            call.verb, (*self.reads, *self.misses)
        )
        return call.arguments[0].startswith(allowed)


def tell(
    caller: stepwise.Caller, powers: Powers, knowledge: Any = None
) -> None:
    """Say what may still come.

    :param knowledge: hashable: all that further calls depend on; None: what
        was met so far
    """
    caller(stepwise.Call(_TELL, '', (powers, knowledge)))


class Point:
    """A process that waits for the result of a call, or has ended.

    :ivar call: what it waits for, None: it has ended
    :ivar failure: what it ended with
    :ivar powers: as it said last
    """

    __slots__ = ('_live', '_next', '_result', '_script', 'call', 'failure',
                 'past', 'powers')  # fmt: skip

    def __init__(
        self,
        script: 'Script',
        past: 'Point | None',
        result: Any,
        call: stepwise.Call | None,
        powers: Powers,
        process: '_Process',
    ) -> None:
        self.call = call
        self.failure = process.failure
        self.past = past
        self.powers = powers
        self._script = script
        self._result = result
        self._next: dict[Any, Point] = {}
        self._live = None if call is None else process

    def after(self, result: Any) -> 'Point':
        """Where the process is after the call has met a result."""
        known = self._next.get(result)
        if known is None:
            process, self._live = self._live, None
            known = self._script.reach(
                process or self._replayed(), self, result
            )
            self._next[result] = known
        return known

    def _replayed(self) -> '_Process':
        """A process that has come this far anew."""
        results = []
        point = self
        while point.past is not None:
            results.append(point._result)
            point = point.past
        process = _Process(self._script.code)
        for result in [None, *reversed(results)]:
            call = process.resume(result)
            while call is not None and call.party == _TELL:
                call = process.resume(None)
        return process


class Script:
    """One process, with all that may become of it.

    :ivar start: where it begins
    """

    def __init__(self, code: Code) -> None:
        self.code = code
        self._alike: dict[Any, Point] = {}
        self.start = self.reach(_Process(code), None, None)

    def reach(
        self, process: '_Process', past: Point | None, result: Any
    ) -> Point:
        """The point that a process comes to with a result."""
        call = process.resume(result)
        powers = Powers() if past is None else past.powers
        told = []
        while call is not None and call.party == _TELL:
            if call.arguments in self._alike:
                return self._alike[call.arguments]
            powers, knowledge = call.arguments
            if knowledge is not None:
                told.append(call.arguments)
            call = process.resume(None)
        if call is not None and not powers.allow(call):
            raise ValueError(f'a process did not say that it would {call}')
        point = Point(self, past, result, call, powers, process)
        self._alike.update(dict.fromkeys(told, point))
        return point


class _Process:
    def __init__(self, code: Code) -> None:
        self.failure: BaseException | None = None
        self._code = code
        self._greenlet = greenlet.greenlet(self._run)

    def resume(self, result: Any) -> stepwise.Call | None:
        """Go on with the result of a call until the next one."""
        self._greenlet.parent = greenlet.getcurrent()
        return self._greenlet.switch(result)

    def _run(self, _: Any) -> None:
        try:
            self._code(self._call)
        except Exception as error:
            self.failure = error

    def _call(self, call: stepwise.Call) -> Any:
        return self._greenlet.parent.switch(call)
