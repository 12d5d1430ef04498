# SPDX-License-Identifier: Apache-2.0
"""Put damaged records back in their places; section "Repair".

A backup that was told of the damage has stored the same chunk elsewhere, if
the volume still had it. With that, all of the pack is written again, as
compaction writes packs: who needs the record finds it where it was.
"""

from collections.abc import Callable, Iterator
import dataclasses

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import compacted_pack
from ebackup_service.repository import compaction
from ebackup_service.repository import copies
from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import record
from ebackup_service.repository import survey
from ebackup_service.repository import tree
from ebackup_service.repository import walk

# Other places of a record that are remembered; each of them may be damaged.
_PLACES = 3
_PREFIX = 8  # bytes of an id that are compared first
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
    :ivar problems: why packs were left as they are, though they could be
        repaired
    """

    records: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)


def repair(
    repo: opened.OpenRepository,
    records: damage.DamagedRecords,
    check: Callable[[], None],
    pace: Callable[[int], None],
    check_owner: Callable[[], None],
) -> Repaired:
    """Repair the packs of which all that is damaged is stored elsewhere, too.

    Runs beside sessions, and not beside a collection.

    :param records: of chunks, that were found to be damaged; those of packs
        that are whole again are forgotten
    :param check: called often; raises to stop
    :param pace: called with the bytes that are read next; may raise
    :param check_owner: raises if another service has taken the repository
    :raises ForeignOwner: see check_owner
    :raises RepositoryError: the storage's, of reading
    """
    repaired = Repaired()
    if not records.told:
        return repaired
    try:
        repo.config.require_write()
        repo.config.require_check()
    except errors.UnsupportedFormat as error:
        repaired.problems.append(str(error))
        return repaired
    places = _Places(records)
    for leaf in _leaves(repo, check):
        places.add(leaf)
    repairing = _Repair(repo, places.found, check, pace, check_owner)
    for address, wanted in _by_pack(records).items():
        try:
            whole = repairing.run(address, wanted)
        except (errors.Corrupt, errors.ObjectMissing):
            continue  # The check tells of it.
        except errors.ForeignOwner:
            raise
        except errors.RepositoryError as error:
            repaired.problems.append(f'{layout.pack_key(address)}: {error}')
            if isinstance(error, _OF_THE_OBJECT):
                continue
            break  # The others would come to the same, one by one.
        if whole:
            repaired.records += records.forget(address)
    return repaired


def _by_pack(
    records: damage.DamagedRecords,
) -> dict[location.PackAddress, set[bytes]]:
    """The ids of what is told, by pack."""
    wanted: dict[location.PackAddress, set[bytes]] = {}
    for (address, _), told in sorted(records.told.items()):
        wanted.setdefault(address, set()).add(told.id)
    return wanted


def _leaves(
    repo: opened.OpenRepository, check: Callable[[], None]
) -> Iterator[page.Page]:
    """Those of all images that count, those that images share about once."""
    walker = walk.Walker(repo, lambda error, level, index: None, copies=True)
    summaries = [
        image.found
        for image in survey.survey(repo.storage, check).values()
        if image.counts and isinstance(image.found, survey.Summary)
    ]
    summaries.sort(key=lambda summary: (summary.chain, summary.generation))
    before: survey.Summary | None = None
    for summary in summaries:
        old = None
        if before is not None and before.chain == summary.chain:
            old = _tree(repo, before)
        for visited in walker.pages(_tree(repo, summary), old):
            check()
            if visited.level == 0:
                yield visited
        before = summary


def _tree(repo: opened.OpenRepository, summary: survey.Summary) -> tree.Tree:
    return tree.Tree(repo, summary.tree, summary.size, summary.chunk_size)


class _Places:
    """Where else there is what damaged records should have.

    :ivar found: id -> other places, three at most
    """

    def __init__(self, records: damage.DamagedRecords) -> None:
        self.found: dict[bytes, list[location.Locator]] = {}
        self._records = records
        self._wanted = {told.id for told in records.told.values()}
        self._prefixes = np.frombuffer(
            b''.join(record_id[:_PREFIX] for record_id in self._wanted), '<u8'
        )

    def add(self, leaf: page.Page) -> None:
        prefixes: npt.NDArray[np.uint64] = np.ascontiguousarray(
            leaf.ids[:, :_PREFIX]
        ).view('<u8')[:, 0]
        wanted = leaf.present & np.isin(prefixes, self._prefixes)
        if not wanted.any():
            return
        for slot in (wanted & ~self._records.of(leaf)).nonzero()[0].tolist():
            where = leaf.locator(slot)
            if where.id in self._wanted:
                places = self.found.setdefault(where.id, [])
                if where not in places and len(places) < _PLACES:
                    places.append(where)


class _Repair:
    """Repairs one pack after the other; belongs to one thread."""

    def __init__(
        self,
        repo: opened.OpenRepository,
        places: dict[bytes, list[location.Locator]],
        check: Callable[[], None],
        pace: Callable[[int], None],
        check_owner: Callable[[], None],
    ) -> None:
        self._repo = repo
        self._places = places
        self._check = check
        self._pace = pace
        self._check_owner = check_owner
        self._reader = reader.RecordReader(repo)

    def run(self, address: location.PackAddress, wanted: set[bytes]) -> bool:
        """Whether a pack is whole again.

        All that the pack has, or nothing: a record that can't be read may be
        back tomorrow, and would be lost with the pack.

        :param wanted: ids of damaged records
        :raises RepositoryError: the storage's
        """
        settled = self._has_several(address) and self._settle(address)
        if not settled and not wanted <= self._places.keys():
            return False  # Nothing of it has to be read.
        key = self._write(address)
        if key is None:
            return False
        if key:
            self._settle(address)
            settled = self._has_settled(address, key)
        return settled

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
            one = self._read(where)
            if one is None:
                one = self._elsewhere(where)
                if one is None:
                    return None
                table['encoding'][row] = record.unpack_header(one).encoding
                damaged = True
            data.append(one)
        if not damaged:
            return ''
        return copies.write(self._repo, address, table, data)[0]

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

    def _elsewhere(self, where: location.Locator) -> bytes | None:
        """The record as it was, which has to fit into its place."""
        for place in self._places.get(where.id, ()):
            if place.length == where.length:
                one = self._read(place)
                if one is not None:
                    return one
        return None

    def _read(self, where: location.Locator) -> bytes | None:
        """A record's bytes, verified; None: it is damaged."""
        self._check()
        self._pace(where.length)
        try:
            data = self._reader.fetch(where.pack, where.offset, where.length)
            self._reader.decode(data, where)
        except errors.Corrupt:
            return None
        return bytes(data)

    def _has_settled(self, address: location.PackAddress, key: str) -> bool:
        keys = copies.compacted_keys(self._repo.storage, address)
        return keys == [key] and not self._has_pack(address)

    def _has_pack(self, address: location.PackAddress) -> bool:
        try:
            self._repo.storage.size(layout.pack_key(address))
        except errors.ObjectMissing:
            return False
        return True
