# SPDX-License-Identifier: Apache-2.0
"""A repair as a process for an explorer: it says what may come."""

from collections.abc import Callable
from typing import Any

from ebackup_service.repository import elsewhere
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import lost_packs
from ebackup_service.repository import repair
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import proxy
from tests.unit.ebackup_service.repository import scripts

POWERS = scripts.Powers(
    creates=(layout.COMPACTED, layout.TOMBSTONES),
    deletes=(layout.COMPACTED, layout.PACKS),
    reads=(layout.IMAGES, layout.TOMBSTONES, layout.COMPACTED),
    misses=(layout.PACKS,),
    asks=frozenset(['live']),
)


class Repair(repair._Repair):
    """That of a proxy."""

    def __init__(
        self, one: proxy.Proxy, records: Any, tell: Callable[..., None]
    ) -> None:
        """:param tell: see stepwise_proxy"""
        self._tell = tell
        self._runs = False
        self._writes = False
        nothing = base.nothing_to_check
        super().__init__(
            one.repo, records, nothing, lambda length: None, nothing
        )

    def run(self, ask: lost_packs.Ask) -> None:
        self._runs = True
        super().run(ask)

    def _read_lost(self, address: location.PackAddress) -> None:
        # Its reader knows nothing yet, as there is one pack only.
        assert self._lost.packs() == [address]
        self._tell(('needed', self._knowledge()), asks=frozenset())
        super()._read_lost(address)

    def _reading(self, wanted: set[bytes]) -> elsewhere.Records:
        """Afterwards nothing but tombstones has to do with images."""
        records = super()._reading(wanted)
        if self._runs:
            places = records._places.found.items()
            found = frozenset((key, tuple(value)) for key, value in places)
            doomed = self._lost._deleted
            self._tell(
                ('found', found, self._knowledge()),
                creates=(
                    layout.COMPACTED,
                    *map(layout.tombstone_key, sorted(doomed)),
                ),
                reads=(
                    layout.COMPACTED,
                    *map(layout.root_key, sorted(doomed)),
                    *map(layout.commit_key, sorted(doomed)),
                ),
                asks=frozenset(),
            )
        return records

    def _write_lost(self, address: location.PackAddress) -> None:
        self._writes = True
        super()._write_lost(address)

    def _is_whole(self, address: location.PackAddress) -> bool:
        if self._writes:
            # It is looked whether that was of use.
            self._tell(creates=(), deletes=())
        return super()._is_whole(address)

    def _knowledge(self) -> Any:
        lost = self._lost
        needed = lost._needed._found.items()
        return (
            frozenset((address, table.tobytes()) for address, table in needed),
            frozenset((a, frozenset(i)) for a, i in lost._lacking.items()),
            frozenset(lost.wanted),
            frozenset(lost._deleted),
            frozenset(self._settled),
            frozenset((a, frozenset(i)) for a, i in self._wanted.items()),
            frozenset(self._damaged.told),
            frozenset(self._damaged.lost.items()),
            (self.result.records, self.result.packs),
            tuple(self.result.problems),
        )
