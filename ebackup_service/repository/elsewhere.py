# SPDX-License-Identifier: Apache-2.0
"""Records that are stored in other places, too; section "Repair"."""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import left_out
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import record
from ebackup_service.repository import refit
from ebackup_service.repository import survey
from ebackup_service.repository import tree
from ebackup_service.repository import walk

# Other places of a record that are remembered; each of them may be damaged.
_PLACES = 3
_PREFIX = 8  # bytes of an id that are compared first


class Places:
    """Where else there is what damaged records should have.

    About a KiB a record, if all have so many places.

    :ivar found: id -> other places, three at most
    """

    def __init__(
        self, wanted: AbstractSet[bytes], records: damage.DamagedRecords
    ) -> None:
        """:param records: of which places are passed over"""
        self.found: dict[bytes, list[location.Locator]] = {}
        self._records = records
        self._wanted = wanted
        self._prefixes = np.sort(
            np.frombuffer(
                b''.join(record_id[:_PREFIX] for record_id in wanted), '<u8'
            )
        )

    def look(
        self, repo: opened.OpenRepository, check: Callable[[], None]
    ) -> None:
        """Look through the pages of all images that count.

        :param check: called often; raises to stop
        :raises RepositoryError: the storage's
        """
        if self._wanted:
            for leaf in _leaves(repo, check):
                self._add(leaf)

    def _add(self, leaf: page.Page) -> None:
        prefixes: npt.NDArray[np.uint64] = np.ascontiguousarray(
            leaf.ids[:, :_PREFIX]
        ).view('<u8')[:, 0]
        at = np.searchsorted(self._prefixes, prefixes)
        at = np.minimum(at, len(self._prefixes) - 1)
        wanted = leaf.present & (self._prefixes[at] == prefixes)
        if not wanted.any():
            return
        for slot in (wanted & ~self._records.of(leaf)).nonzero()[0].tolist():
            where = leaf.locator(slot)
            if where.id in self._wanted and not self._gone(where):
                places = self.found.setdefault(where.id, [])
                if where not in places and len(places) < _PLACES:
                    places.append(where)

    def _gone(self, where: location.Locator) -> bool:
        return self._records.lost.get(where.pack, False)


def _leaves(
    repo: opened.OpenRepository, check: Callable[[], None]
) -> Iterator[page.Page]:
    """Those of all images that count, those that images share about once."""
    walker = walk.Walker(repo, lambda error, level, index: None, copies=True)
    left = left_out.LeftOut(repo.storage)  # The check tells of it.
    summaries = [
        image.found
        for image in survey.survey(repo.storage, check, left=left).values()
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


class Records:
    """Reads records, wherever they are; belongs to one thread."""

    def __init__(
        self,
        repo: opened.OpenRepository,
        places: Places,
        check: Callable[[], None],
        pace: Callable[[int], None],
    ) -> None:
        """See repair.repair."""
        self._places = places
        self._check = check
        self._pace = pace
        self._reader = reader.RecordReader(repo)

    def has(self, record_id: bytes) -> bool:
        """Whether there is another place of a record."""
        return record_id in self._places.found

    def read(self, where: location.Locator) -> bytes | None:
        """A record's bytes, verified; None: it is damaged."""
        found = self._read(where)
        return None if found is None else found[0]

    def elsewhere(self, where: location.Locator) -> bytes | None:
        """The record out of another place, as long as it was in its own.

        As it is stored there, if there is one of that length.
        """
        places = self._places.found.get(where.id, [])
        for place in places:
            if place.length == where.length:
                found = self._read(place)
                if found is not None:
                    return found[0]
        for place in places:
            if place.length != where.length:
                found = self._read(place)
                if found is not None:
                    return self._fitted(where, found[1])
        return None

    def _fitted(self, where: location.Locator, plain: bytes) -> bytes | None:
        fitted = refit.fit(
            plain, where.length - record.HEADER_SIZE, self._check
        )
        if fitted is None:
            return None
        encoding, payload = fitted
        header = record.pack_header(
            where.pack.kind, encoding, len(plain), len(payload), where.id
        )
        made = header + bytes(payload)
        try:
            self._reader.decode(memoryview(made), where)
        except errors.Corrupt:
            return None
        return made

    def _read(self, where: location.Locator) -> tuple[bytes, bytes] | None:
        """(bytes as they are stored, plain bytes)."""
        self._check()
        self._pace(where.length)
        try:
            data = self._reader.fetch(where.pack, where.offset, where.length)
            plain = self._reader.decode(data, where)
        except errors.Corrupt:
            return None
        return bytes(data), bytes(plain)
