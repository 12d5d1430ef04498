# SPDX-License-Identifier: Apache-2.0
"""The service as a value, and what proxies ask it as calls.

In the place of the catalog, whose transactions are one step here.
"""

from collections.abc import Iterable
import dataclasses
from typing import Any

from ebackup_service.repository import liveness
from ebackup_service.repository import location
from ebackup_service.repository import root as image_root
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository.storage import stepwise

CATALOG = 'catalog'
State = services.State

# Which calls make a difference to each other. A job's commit and end concern
# its own image only, and it is all the same how dead an image is.
_DISTURBS = {
    'acknowledge': frozenset(['live', 'reserve']),
    'acknowledge_run': frozenset(['begin', 'live', 'reserve']),
    'begin': frozenset(
        [
            'acknowledge_run',
            'begin',
            'checkpoint',
            'commit_run',
            'doom',
            'fail_run',
            'live',
        ]
    ),
    'bury': frozenset(),
    'checkpoint': frozenset(['begin']),
    'commit': frozenset(['live']),
    'commit_run': frozenset(['begin', 'live']),
    'doom': frozenset(['begin', 'live', 'pin', 'reserve']),
    'fail_run': frozenset(['begin']),
    'live': frozenset(
        [
            'acknowledge',
            'acknowledge_run',
            'begin',
            'commit',
            'commit_run',
            'doom',
            'pin',
            'reserve',
            'unpin',
        ]
    ),
    'pin': frozenset(['doom', 'live']),
    'reserve': frozenset(['acknowledge', 'doom', 'live', 'reserve']),
    'unpin': frozenset(['live']),
}
_MOVES = {
    State.AVAILABLE: 'acknowledge',
    State.DELETING: 'doom',
    State.DELETED: 'bury',
}


class Catalog:
    """What the service knows; never changes, and is hashed once.

    :ivar facts: images by id
    :ivar pins: (who restores, id of the image)
    """

    def __init__(
        self,
        records: Iterable[services.Record],
        pins: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.facts = {record.id: record for record in records}
        self.pins = frozenset(pins)
        self._hash = hash((frozenset(self.facts.values()), self.pins))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Catalog)
            and self.facts == other.facts
            and self.pins == other.pins
        )

    def perform(self, call: stepwise.Call) -> tuple['Catalog', Any]:
        """What a call leaves, and what it returns."""
        return getattr(self, f'_{call.verb}')(*call.arguments)

    def disturbs(self, verb: str) -> frozenset[str]:
        return _DISTURBS[verb]

    def in_state(self, *states: State) -> list[services.Record]:
        return [r for r in self.facts.values() if r.state in states]

    def needed(self) -> list[services.Record]:
        """Images that are available, or that a job reads."""
        bases = {r.base for r in self.in_state(*services.RUNNING)} - {None}
        pinned = {image_id for _, image_id in self.pins}
        available = {r.id for r in self.in_state(State.AVAILABLE)}
        return [self.facts[i] for i in sorted(available | bases | pinned)]

    def given_up(self, name: str, session_id: str) -> 'Catalog':
        """A job has ended without success: the image of a backup is dead."""
        records = [
            services.moved(record, State.ERROR)
            if record.session_id == session_id
            and record.state in services.RUNNING
            else record
            for record in self.facts.values()
        ]
        return Catalog(records, (p for p in self.pins if p[0] != name))

    def live(self, image_ids: Iterable[str]) -> liveness.Live:
        """What a collection asks for."""
        pinned = [image_id for _, image_id in self.pins]
        return services.live(self.facts, image_ids, pinned)

    def _reserve(
        self,
        image_id: str,
        session_id: str,
        chain: image_root.Chain,
        data: bytes,
    ) -> tuple['Catalog', Any]:
        base = services.newest(self.facts, chain)
        record = services.Record(
            id=image_id,
            session_id=session_id,
            chain=chain,
            generation=1 + len(self.facts),
            base=None if base is None else base.id,
            data=data,
        )
        return self._with(record), (record, base)

    def _commit(
        self, image_id: str, root: image_root.Root
    ) -> tuple['Catalog', Any]:
        return self._with(services.committed(self.facts[image_id], root)), None

    def _begin(self, image_id: str, run: int) -> tuple['Catalog', Any]:
        """Hand a job out: the first time, or the next when it is taken back.

        :returns: None: it has ended
        """
        record = self.facts[image_id]
        if record.state not in services.RUNNING or run <= record.run:
            return self, None
        record = dataclasses.replace(record, run=run, base=self.base(record))
        begun = (
            record,
            None if record.base is None else self.facts[record.base],
            record.checkpoint,
        )
        return self._with(record), begun

    def base(self, record: services.Record) -> str | None:
        """What a run compares with: all of them with the same."""
        return record.base

    def _checkpoint(
        self, image_id: str, run: int, reached: location.Locator | None
    ) -> tuple['Catalog', Any]:
        record = self._heard(image_id, run)
        if record is None:
            return self, None
        return self._with(
            dataclasses.replace(record, checkpoint=reached)
        ), True

    def _commit_run(
        self, image_id: str, run: int, root: image_root.Root
    ) -> tuple['Catalog', Any]:
        if self._heard(image_id, run) is None:
            return self, None
        return self._commit(image_id, root)[0], True

    def _acknowledge_run(
        self, image_id: str, run: int
    ) -> tuple['Catalog', Any]:
        if self._heard(image_id, run) is None:
            return self, None
        return self._moved(image_id, State.AVAILABLE), True

    def _fail_run(self, image_id: str, run: int) -> tuple['Catalog', Any]:
        return self, self._heard(image_id, run)

    def _heard(self, image_id: str, run: int) -> services.Record | None:
        record = self.facts[image_id]
        heard = record.run == run and record.state in services.RUNNING
        return record if heard else None

    def _acknowledge(self, image_id: str) -> tuple['Catalog', Any]:
        return self._moved(image_id, State.AVAILABLE), None

    def _doom(self, image_id: str) -> tuple['Catalog', Any]:
        return self._moved(image_id, State.DELETING), None

    def _bury(self, image_id: str) -> tuple['Catalog', Any]:
        return self._moved(image_id, State.DELETED), None

    def _live(self, image_ids: tuple[str, ...]) -> tuple['Catalog', Any]:
        live = self.live(image_ids)
        return self, (
            frozenset(live.dead),
            tuple(sorted(live.pins)),
            frozenset(live.sessions),
            frozenset(live.uncommitted),
        )

    def _pin(self, name: str, image_id: str) -> tuple['Catalog', Any]:
        record = self.facts[image_id]
        if record.state is not State.AVAILABLE:
            return self, None
        pins = self.pins | {(name, image_id)}
        return Catalog(self.facts.values(), pins), record

    def _unpin(self, name: str, image_id: str) -> tuple['Catalog', Any]:
        pins = self.pins - {(name, image_id)}
        return Catalog(self.facts.values(), pins), None

    def _moved(self, image_id: str, state: State) -> 'Catalog':
        return self._with(services.moved(self.facts[image_id], state))

    def _with(self, record: services.Record) -> 'Catalog':
        facts = {**self.facts, record.id: record}
        return Catalog(facts.values(), self.pins)


class StepwiseService:
    """For a proxy.Proxy: turns what it asks into calls."""

    def __init__(
        self,
        caller: stepwise.Caller,
        name: str,
        image_id: str,
        session_id: str,
        data: bytes,
    ) -> None:
        """:param data: what the proxy's volume holds"""
        self._caller = caller
        self._name = name
        self._ids = image_id, session_id
        self._data = data
        self._base: services.Record | None = None

    def reserve(self, chain: image_root.Chain) -> services.Record:
        record, self._base = self._call(
            'reserve', *self._ids, chain, self._data
        )
        return record

    def record(self, image_id: str) -> services.Record:
        """The base, which comes with the job."""
        assert self._base is not None and self._base.id == image_id
        return self._base

    def commit(self, image_id: str, root: image_root.Root) -> None:
        self._call('commit', image_id, root)

    def move(self, image_id: str, state: State) -> None:
        self._call(_MOVES[state], image_id)

    def live(self, image_ids: list[str]) -> liveness.Live:
        dead, pins, sessions, uncommitted = self._call(
            'live', tuple(image_ids)
        )
        return liveness.Live(
            set(dead), pins, set(sessions), uncommitted=uncommitted
        )

    def pin(self, image_id: str) -> services.Record | None:
        return self._call('pin', self._name, image_id)

    def unpin(self, image_id: str) -> None:
        self._call('unpin', self._name, image_id)

    def _call(self, verb: str, *arguments: Any) -> Any:
        return self._caller(stepwise.Call(CATALOG, verb, arguments))
