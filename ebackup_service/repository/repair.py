# SPDX-License-Identifier: Apache-2.0
"""Put damaged records back in their places; section "Repair".

A backup that was told of the damage has stored the same chunk elsewhere, if
the volume still had it. With that, all of the pack is written again, as
compaction writes packs: who needs the record finds it where it was. Of a pack
of which nobody says what it had, that is all that is needed: ``lost_packs``.
"""

from collections.abc import Callable, Iterable
import dataclasses

from ebackup_service.repository import compacted_pack
from ebackup_service.repository import compaction
from ebackup_service.repository import copies
from ebackup_service.repository import damage
from ebackup_service.repository import elsewhere
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import lost_packs
from ebackup_service.repository import opened
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from ebackup_service.repository import record
from ebackup_service.repository import verifier

# What says nothing of other objects.
_OF_THE_OBJECT = (
    errors.ObjectTruncated,
    errors.ObjectUnreadable,
    errors.UnsupportedFormat,
)


@dataclasses.dataclass(slots=True)
class Repaired:
    """What came of it.

    :ivar records: how many are whole again
    :ivar packs: that were lost, and are whole again
    :ivar problems: why packs were left as they are, though they could be
        repaired
    """

    records: int = 0
    packs: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)


def repair(
    repo: opened.OpenRepository,
    records: damage.DamagedRecords,
    check: Callable[[], None],
    pace: Callable[[int], None],
    check_owner: Callable[[], None],
    ask: lost_packs.Ask,
) -> Repaired:
    """Repair the packs of which all that is damaged is stored elsewhere, too.

    Runs beside sessions, and not beside a collection.

    :param records: of chunks, that were found to be damaged, and packs that
        are lost; those that are whole again are forgotten
    :param check: called often; raises to stop
    :param pace: called with the bytes that are read next; may raise
    :param check_owner: raises if another service has taken the repository
    :param ask: asks the catalog, if packs are lost; see lost_packs
    :raises ForeignOwner: see check_owner
    :raises RepositoryError: the storage's, of reading pages
    """
    repairing = _Repair(repo, records, check, pace, check_owner)
    if not records.told and not records.lost:
        return repairing.result
    try:
        repo.config.require_write()
        repo.config.require_check()
    except errors.UnsupportedFormat as error:
        repairing.result.problems.append(str(error))
        return repairing.result
    repairing.run(ask)
    return repairing.result


class _Repair:
    """Repairs one pack after the other; belongs to one thread."""

    def __init__(
        self,
        repo: opened.OpenRepository,
        records: damage.DamagedRecords,
        check: Callable[[], None],
        pace: Callable[[int], None],
        check_owner: Callable[[], None],
    ) -> None:
        self.result = Repaired()
        self._repo = repo
        self._damaged = records
        self._check = check
        self._pace = pace
        self._check_owner = check_owner
        self._lost = lost_packs.LostPacks(repo, check)
        self._records = self._reading(set())
        self._wanted: dict[location.PackAddress, set[bytes]] = {}
        # Lost packs of which nothing is there that should have been deleted.
        self._settled: set[location.PackAddress] = set()

    def run(self, ask: lost_packs.Ask) -> None:
        untold = self._damaged.untold()
        if not self._each([*self._damaged.lost, *untold], self._settle_lost):
            return
        lost = self._settled.intersection(
            [*self._damaged.lost, *self._damaged.untold()]
        )
        if lost:
            try:
                self._lost.look(sorted(lost), ask)
            except errors.Corrupt as error:
                # Nothing is left out while anything is unknown.
                self.result.problems.append(str(error))
            if not self._each(self._lost.packs(), self._read_lost):
                return
        for (address, _), told in sorted(self._damaged.told.items()):
            self._wanted.setdefault(address, set()).add(told.id)
        self._records = self._reading(
            self._lost.wanted.union(*self._wanted.values())
        )
        if self._each(self._lost.packs(), self._write_lost):
            self._each([*self._wanted], self._repair)

    def _reading(self, wanted: set[bytes]) -> elsewhere.Records:
        places = elsewhere.Places(wanted, self._damaged)
        places.look(self._repo, self._check)
        return elsewhere.Records(self._repo, places, self._check, self._pace)

    def _each(
        self,
        addresses: Iterable[location.PackAddress],
        run: Callable[[location.PackAddress], None],
    ) -> bool:
        """Do something for each pack; whether the storage bears more."""
        for address in addresses:
            self._check()
            try:
                run(address)
            except (errors.Corrupt, errors.ObjectMissing):
                continue  # The check tells of it.
            except errors.ForeignOwner:
                raise
            except errors.RepositoryError as error:
                self.result.problems.append(
                    f'{layout.pack_key(address)}: {error}'
                )
                if not isinstance(error, _OF_THE_OBJECT):
                    # The others would come to the same, one by one.
                    return False
        return True

    def _settle_lost(self, address: location.PackAddress) -> None:
        """See whether there is something later that isn't damaged."""
        settled = self._has_several(address) and self._settle(address)
        self._settled.add(address)
        if settled:
            lost = self._damaged.find(address)
            records = self._damaged.forget(address)
            if self._is_whole(address):
                self.result.records += records
                self.result.packs += lost

    def _read_lost(self, address: location.PackAddress) -> None:
        gone = self._damaged.lost.get(address, False)
        self._lost.read(address, self._records, gone)

    def _write_lost(self, address: location.PackAddress) -> None:
        """Write what is needed of a lost pack, if all of that can be had."""
        written = self._lost.write(address, self._records, self._check_owner)
        if written is None:
            return
        key, others = written
        self._settle(address)
        if self._has_settled(address, key):
            self._damaged.forget(address)
            self._wanted.pop(address, None)
            if self._is_whole(address):
                self.result.records += others
                self.result.packs += 1

    def _repair(self, address: location.PackAddress) -> None:
        """Make a pack whole again, if that can be done.

        All that the pack has, or nothing: a record that can't be read may be
        back tomorrow, and would be lost with the pack.
        """
        settled = self._has_several(address) and self._settle(address)
        if not settled and not all(
            map(self._records.has, self._wanted[address])
        ):
            return  # Nothing of it has to be read.
        key = self._write(address)
        if key is None:
            return
        if key:
            self._settle(address)
            settled = self._has_settled(address, key)
        if settled:
            self.result.records += self._damaged.forget(address)

    def _write(self, address: location.PackAddress) -> str | None:
        """Write all that a pack has; the key of that.

        Empty if there is nothing to do, None if it can't be done.
        """
        table = copies.load(self._repo, address).copy()
        most = min(pack.DEFAULT_SIZE, self._repo.config.pack_size)
        if compacted_pack.size(table) > most:
            return None
        damaged = False
        data = []
        for row, where in enumerate(pack_table.locators(address, table)):
            one = self._records.read(where)
            if one is None:
                one = self._records.elsewhere(where)
                if one is None:
                    return None
                table['encoding'][row] = record.unpack_header(one).encoding
                damaged = True
            data.append(one)
        if not damaged:
            return ''
        return copies.write(self._repo, address, table, data)[0]

    def _is_whole(self, address: location.PackAddress) -> bool:
        """Whether a pack is, as readers find it; what is damaged is noted.

        That a pack was settled doesn't say so: the newest object may be
        damaged, and the next one not; or there was only one.
        """
        verifier.PackVerifier(self._repo, self._damaged).verify(
            address, self._pace
        )
        return not self._damaged.has(address)

    def _has_several(self, address: location.PackAddress) -> bool:
        """Whether something that was stopped, or a power loss, left more.

        The newest one may have all, of which nothing else is needed then; and
        while the others can't be deleted nothing should be added to them.
        """
        keys = copies.compacted_keys(self._repo.storage, address)
        return len(keys) > 1 or (bool(keys) and self._has_pack(address))

    def _settle(self, address: location.PackAddress) -> bool:
        """Whether something was deleted."""
        self._check_owner()
        return compaction.settle(self._repo, address) > 0

    def _has_settled(self, address: location.PackAddress, key: str) -> bool:
        keys = copies.compacted_keys(self._repo.storage, address)
        return keys == [key] and not self._has_pack(address)

    def _has_pack(self, address: location.PackAddress) -> bool:
        try:
            self._repo.storage.size(layout.pack_key(address))
        except errors.ObjectMissing:
            return False
        return True
