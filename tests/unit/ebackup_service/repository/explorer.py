# SPDX-License-Identifier: Apache-2.0
"""All that may become of some processes that work at once.

Each takes its steps, calls to the storage and to the catalog, in its order;
all orders between them are tried, and one of them may be killed after any of
its steps. A state that was met before, however it was reached, is not tried
again.

Nor are orders that nobody could tell apart. Of processes whose next steps are
all the same to the others, whatever those may still do, the others need not
be looked at before. And a chunk or page is read as late as possible, with the
next step: packs may only go, so whoever reads later is in greater danger. Not
by those that write or remove packs, since they go by what they have read.
"""

from collections.abc import Callable, Collection, Iterator
import dataclasses
import gc
from typing import Any, NamedTuple, Protocol

from ebackup_service.repository import layout
from tests.unit.ebackup_service.repository import scripts
from tests.unit.ebackup_service.repository.storage import stepwise

_READS = ('read', 'read_into', 'size')


class Catalog(Protocol):
    """Hashable; never changes."""

    def perform(self, call: stepwise.Call) -> 'tuple[Catalog, Any]':
        """What a call leaves, and what it returns: one transaction."""
        ...

    def disturbs(self, verb: str) -> frozenset[str]:
        """Verbs of calls that make a difference to a call, or it to them."""
        ...


@dataclasses.dataclass(frozen=True)
class Actor:
    """A process.

    :ivar killed: what becomes of the catalog when that was noticed. Until then
        it can't be told from a process that takes its time. None: it isn't
        killed
    :ivar owns: keys, or prefixes that end with a slash, of objects that nobody
        else may touch while it runs
    """

    name: str
    code: scripts.Code
    killed: Callable[[Any], Any] | None
    owns: tuple[str, ...] = ()


class World(NamedTuple):
    objects: stepwise.Objects
    catalog: Any


class State(NamedTuple):
    """``points``: of each process, None if it was killed: one at most."""

    world: World
    points: tuple[scripts.Point | None, ...]


_Key = tuple[int, tuple[scripts.Point | None, ...]]
# Whose step it was, and what was done.
_Label = tuple[str, str | list[stepwise.Call]]


class Broken(Exception):
    """A promise isn't kept; the message says which, and how it came to it."""


def _anything(before: World, after: World) -> None:
    """Nothing is promised of a step."""


class Explorer:
    """Look at every state.

    :ivar ends: what was left when all had ended, each once
    """

    def __init__(
        self,
        actors: list[Actor],
        world: World,
        look: Callable[[World], None],
        look_back: Callable[[World, World], None] = _anything,
        at_once: bool = False,
    ) -> None:
        """Begin.

        :param look: raises AssertionError if a promise isn't kept
        :param look_back: the same, of a step; given what was before, and
            after it
        :param at_once: what is read of an object, one call after the other,
            is read at one instant
        """
        self._actors = actors
        self._at_once = at_once
        self._look = look
        self._look_back = look_back
        self._start = State(
            world, tuple(scripts.Script(a.code).start for a in actors)
        )
        # Equal worlds are the same one here, which is quick to look up.
        self._worlds: dict[World, World] = {world: world}
        self._origins: dict[_Key, tuple[State, _Label] | None] = {
            _key(self._start): None
        }
        self._seen: set[int] = set()
        self._steps_seen: set[tuple[int, int]] = set()
        self._known: dict[tuple[int, int], tuple[World, scripts.Point]] = {}
        self.ends: dict[World, State] = {}

    @property
    def states(self) -> int:
        """How many there were."""
        return len(self._origins)

    def explore(self) -> None:
        """:raises Broken:"""
        # What is made here stays; looking for garbage takes a sixth of it.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._explore()
        finally:
            if collecting:
                gc.enable()

    def _explore(self) -> None:
        left = [self._start]
        while left:
            state = left.pop()
            ended = True
            for label, after in self._steps(state):
                ended = False
                if _key(after) not in self._origins:
                    self._origins[_key(after)] = state, label
                    self._judge(after)
                    left.append(after)
                self._judge_step(state, label, after)
            if ended:
                self.ends.setdefault(state.world, state)

    def undisturbed(self) -> World:
        """What is left if none is killed, and one comes after the other."""
        state = self._start
        for number in range(len(state.points)):
            while (point := state.points[number]) and point.call is not None:
                state, point = self._perform(state, number, point)
            if point is not None and point.failure is not None:
                raise point.failure
        return state.world

    def blame(
        self, state: State, problem: BaseException, *steps: _Label
    ) -> Broken:
        """A problem with all that led to it.

        :param steps: that were taken since
        """
        labels = [*reversed(steps)]
        origin = self._origins[_key(state)]
        while origin is not None:
            state, label = origin
            labels.append(label)
            origin = self._origins[_key(state)]
        lines = []
        for name, what in reversed(labels):
            told = what if isinstance(what, str) else ', '.join(map(str, what))
            lines.append(f'{name}: {told}')
        lines.append(f'{type(problem).__name__}: {problem}')
        return Broken('\n'.join(lines))

    def _judge(self, state: State) -> None:
        for point in state.points:
            if point is not None and point.failure is not None:
                raise self.blame(state, point.failure)
        if id(state.world) not in self._seen:
            self._seen.add(id(state.world))
            try:
                self._look(state.world)
            except AssertionError as error:
                raise self.blame(state, error) from error

    def _judge_step(self, state: State, label: _Label, after: State) -> None:
        step = id(state.world), id(after.world)
        if step[0] != step[1] and step not in self._steps_seen:
            self._steps_seen.add(step)
            try:
                self._look_back(state.world, after.world)
            except AssertionError as error:
                raise self.blame(state, error, label) from error

    def _steps(self, state: State) -> Iterator[tuple[_Label, State]]:
        calls = {
            number: self._next(state, number) for number in _running(state)
        }
        for number in self._enough(state, calls):
            label = self._actors[number].name, calls[number]
            yield label, self._step(state, number)
            # Whoever only looks may as well be killed later.
            call = calls[number][-1]
            if (
                None not in state.points
                and self._actors[number].killed is not None
                and call.verb not in (*_READS, 'list', 'live')
            ):
                yield self._kill(state, number)

    def _next(self, state: State, number: int) -> list[stepwise.Call]:
        """The calls of a step: up to one that isn't made late."""
        calls = []
        point = _point(state, number)
        while point.call is not None:
            calls.append(point.call)
            if not _is_late(point.call, point):
                break
            state, point = self._perform(state, number, point)
        return calls

    def _enough(
        self, state: State, calls: dict[int, list[stepwise.Call]]
    ) -> Collection[int]:
        """Processes that need to be looked at now, the fewest there are.

        Whatever the others may still do can be done after their next steps as
        well as before.
        """
        best: Collection[int] = calls.keys()
        for number in calls:
            chosen = {number}
            left = [number]
            while left and len(chosen) < len(best):
                one = left.pop()
                for other in calls.keys() - chosen:
                    if any(
                        self._disturbs(state, other, call, one)
                        for call in calls[one]
                    ):
                        chosen.add(other)
                        left.append(other)
            if len(chosen) < len(best):
                best = chosen
        return best

    def _kill(self, state: State, number: int) -> tuple[_Label, State]:
        actor = self._actors[number]
        assert actor.killed is not None
        world = World(state.world.objects, actor.killed(state.world.catalog))
        world = self._worlds.setdefault(world, world)
        return (
            (actor.name, 'killed'),
            State(world, _replaced(state.points, number, None)),
        )

    def _step(self, state: State, number: int) -> State:
        """Up to a call that isn't made late, and what matters to nobody."""
        point = _point(state, number)
        late = True
        before = None
        while point.call is not None and late:
            late = _is_late(point.call, point)
            before = point.call
            state, point = self._perform(state, number, point)
        while (
            point.call is not None
            and point.call.verb in (*_READS, 'list')
            and not _is_late(point.call, point)
            and (
                (self._at_once and _same_object(before, point.call))
                or not any(
                    self._disturbs(state, other, point.call, number)
                    for other in _running(state)
                    if other != number
                )
            )
        ):
            before = point.call
            state, point = self._perform(state, number, point)
        return state

    def _perform(
        self, state: State, number: int, point: scripts.Point
    ) -> tuple[State, scripts.Point]:
        call = point.call
        assert call is not None
        if call.verb in ('create', 'delete'):
            self._assert_not_owned(state, number, call)
        world, point = self._after(state.world, point)
        return State(world, _replaced(state.points, number, point)), point

    def _after(
        self, world: World, point: scripts.Point
    ) -> tuple[World, scripts.Point]:
        """What a call leaves, whoever else there is: it is found out once."""
        known = self._known.get((id(world), id(point)))
        if known is None:
            call = point.call
            assert call is not None
            if call.party == stepwise.STORAGE:
                objects, result = world.objects.perform(call)
                after = World(objects, world.catalog)
            else:
                catalog, result = world.catalog.perform(call)
                after = World(world.objects, catalog)
            after = self._worlds.setdefault(after, after)
            known = after, point.after(result)
            self._known[id(world), id(point)] = known
        return known

    def _assert_not_owned(
        self, state: State, number: int, call: stepwise.Call
    ) -> None:
        for other in _running(state):
            owner = self._actors[other]
            if other != number and call.arguments[0].startswith(owner.owns):
                problem = f'{self._actors[number].name}: {call}'
                raise self.blame(
                    state, AssertionError(f'{problem}, of {owner.name}')
                )

    def _disturbs(
        self, state: State, other: int, call: stepwise.Call, number: int
    ) -> bool:
        """Whether what another may do makes a difference to a call now.

        Or it to that.
        """
        may = _point(state, other).powers
        if call.party != stepwise.STORAGE:
            return bool(state.world.catalog.disturbs(call.verb) & may.asks)
        key = call.arguments[0]
        if call.verb == 'create':
            return key.startswith((*may.reads, *may.creates))
        if call.verb == 'delete':
            return key.startswith((*may.reads, *may.misses))
        if key.startswith(self._actors[number].owns):
            return False
        objects = state.world.objects
        if call.verb in _READS:
            return key.startswith(
                may.deletes if key in objects else may.creates
            )
        return any(
            (power.startswith(key) or key.startswith(power))
            and (power[-1] == '/' or (power in objects) is there)
            for powers, there in ((may.creates, False), (may.deletes, True))
            for power in powers
        )


def _key(state: State) -> _Key:
    return id(state.world), state.points


def _running(state: State) -> list[int]:
    return [
        number
        for number, point in enumerate(state.points)
        if point is not None and point.call is not None
    ]


def _point(state: State, number: int) -> scripts.Point:
    point = state.points[number]
    assert point is not None
    return point


def _is_late(call: stepwise.Call, point: scripts.Point) -> bool:
    return (
        call.verb in _READS
        and call.arguments[0].startswith(layout.PACKS)
        # Whoever writes goes by what he has read.
        and not any(
            power.startswith(layout.PACKS) for power in point.powers.deletes
        )
    )


def _same_object(before: stepwise.Call | None, call: stepwise.Call) -> bool:
    """Whether calls read the same one."""
    return (
        before is not None
        and {before.verb, call.verb} <= {*_READS}
        and before.arguments[0] == call.arguments[0]
    )


def _replaced(
    points: tuple[scripts.Point | None, ...],
    number: int,
    point: scripts.Point | None,
) -> tuple[scripts.Point | None, ...]:
    return (*points[:number], point, *points[number + 1 :])
