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
    places = _Places(records)
    for leaf in _leaves(repo, check):
        places.add(leaf)
    if not places.found:
        return repaired
    repairing = _Repair(repo, places.found, check, pace, check_owner)
    for address in sorted({address for address, _ in records.told}):
        try:
            repo.config.require_write()
            count = repairing.run(address)
        except (errors.Corrupt, errors.ObjectMissing):
            continue  # The check tells of it.
        except errors.ForeignOwner:
            raise
        except errors.RepositoryError as error:
            repaired.problems.append(f'{layout.pack_key(address)}: {error}')
            continue
        if count:
            records.forget(address)
            repaired.records += count
    return repaired


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

    def run(self, address: location.PackAddress) -> int:
        """How many records of a pack are whole again.

        All that the pack has, or none: a record that can't be read may be
        back tomorrow, and would be lost with the pack.

        :raises RepositoryError: the storage's
        """
        table = copies.load(self._repo, address).copy()
        most = min(pack.DEFAULT_SIZE, self._repo.config.pack_size)
        if compacted_pack.size(table) > most:
            return 0
        count = 0
        data = []
        for row, where in enumerate(pack_table.locators(address, table)):
            one = self._read(where)
            if one is None:
                one = self._elsewhere(where)
                if one is None:
                    return 0
                table['encoding'][row] = record.unpack_header(one).encoding
                count += 1
            data.append(one)
        if not count:
            return 0
        key, _ = copies.write(self._repo, address, table, data)
        self._check_owner()
        compaction.settle(self._repo, address)
        return count if self._has_settled(address, key) else 0

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
        storage = self._repo.storage
        if copies.compacted_keys(storage, address) != [key]:
            return False
        try:
            storage.size(layout.pack_key(address))
        except errors.ObjectMissing:
            return True
        return False
