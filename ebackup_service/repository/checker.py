# SPDX-License-Identifier: Apache-2.0
"""Find damage before a restore does, and say which images it touches.

Reads every document, every page of every image that counts, header and footer
of every pack that they reach. The images of a chain are walked beside each
other, so that what they share is read once. Chunks are read before, by
``verifier``: what was found there is looked for in the pages.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import numpy as np

from ebackup_service.repository import damage
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import extents
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import location
from ebackup_service.repository import markers
from ebackup_service.repository import missed_image
from ebackup_service.repository import opened
from ebackup_service.repository import owner
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import survey
from ebackup_service.repository import tables
from ebackup_service.repository import touched
from ebackup_service.repository import tree
from ebackup_service.repository import walk

# Problems that are told; more are only counted.
_TOLD = 1000

Damage = dict[str, extents.Extents]
# Trees by the ids of their images; each its root page, and the sizes of
# volume and chunks in bytes.
Trees = Mapping[str, tuple[location.Locator | None, int, int]]
_Chain = tuple[str, str, int]


@dataclasses.dataclass(slots=True)
class CheckReport:
    """What a check has met.

    :ivar images: that count
    :ivar pages: each once
    :ivar chunks: records of chunks, those of several images about once
    :ivar problems: what is damaged and where, at most 1000
    :ivar damaged: how many problems there are
    :ivar damaged_images: ids of those that can't be restored completely
    :ivar damaged_chunks: of those that were read, with the images they touch
    """

    images: int = 0
    pages: int = 0
    chunks: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    damaged: int = 0
    damaged_images: list[str] = dataclasses.field(default_factory=list)
    damaged_chunks: list[dict[str, Any]] = dataclasses.field(
        default_factory=list
    )

    def add(self, problem: str) -> None:
        self.damaged += 1
        if len(self.problems) < _TOLD:
            self.problems.append(problem)


def check(
    repo: opened.OpenRepository,
    records: damage.DamagedRecords,
    check: Callable[[], None],
    tell: Callable[[Damage], None] = lambda found: None,
    bases: Callable[[], Trees] = dict,
    missed: Callable[[list[str]], Trees] = lambda image_ids: {},
    left: left_out.LeftOut | None = None,
    read: Callable[[int], None] = lambda size: None,
) -> CheckReport:
    """Check a repository; damage is reported, not raised.

    Runs beside sessions, and not beside a collection.

    :param records: of chunks, that are known to be damaged
    :param check: called often; raises to stop
    :param tell: gets the damaged ranges of images: of all, then of those that
        came meanwhile, until there are none
    :param bases: what backups that run have as base, as of now. They may have
        been deleted since, and what is damaged of them is told all the same
    :param missed: the images that are available by the catalog, but for those
        that were found
    :param left: what couldn't be listed until now
    :param read: told for each page how many bytes of pages have been read
    :raises RepositoryError: the storage's
    """
    repo.config.require_check()
    report = CheckReport()
    if left is None:
        left = left_out.LeftOut(repo.storage)
    _documents(repo, report, check, left)
    run = _Check(repo, report, records, check, left, read)
    # Asked before images are listed: what isn't running any more is there.
    while found := run.images(bases()):
        tell(found)
    if found := run.lost(missed(run.listed)):
        tell(found)
    run.finish()
    return report


def _documents(
    repo: opened.OpenRepository,
    report: CheckReport,
    check: Callable[[], None],
    left: left_out.LeftOut,
) -> None:
    """Owner marker and tombstones: what no image leads to."""
    try:
        owner.read(repo.storage)
    except errors.Corrupt as error:
        report.add(str(error))
    for info in left.list(layout.TOMBSTONES):
        check()
        image_id = layout.parse_tombstone(info.key)
        if image_id is None:
            continue
        try:
            data = document.read_bytes(
                repo.storage, markers.TOMBSTONE, info.key
            )
            markers.Tombstone.from_bytes(data, info.key, image_id)
        except errors.Corrupt as error:
            left.add(error)
        except errors.ObjectMissing:
            # A collection has removed it meanwhile.
            continue


class _Check:
    """The check of one repository; belongs to one thread."""

    def __init__(
        self,
        repo: opened.OpenRepository,
        report: CheckReport,
        records: damage.DamagedRecords,
        check: Callable[[], None],
        left: left_out.LeftOut,
        read: Callable[[int], None],
    ) -> None:
        self._repo = repo
        self._report = report
        self._records = records
        self._check = check
        self._left = left
        self._read = read
        self._walker = walk.Walker(repo, self._page_damaged, copies=True)
        self._tables = tables.PackTables(repo, self._tell)
        self._touched = touched.TouchedImages(records)
        self._seen: set[str] = set()
        self._listed: set[str] = set()
        self._checked: set[str] = set()
        # What the next image of a chain is walked beside.
        self._last: dict[_Chain, tuple[str, survey.Summary]] = {}
        self._damage: Damage = {}
        # Of the image that is being checked: its id, its tree and what of it
        # is damaged; the same of the one beside it.
        self._image_id = ''
        self._new: tree.Tree = tree.Tree(repo, None, 0, 4096)
        self._old: tree.Tree | None = None
        self._found = extents.Extents()
        self._before = extents.Extents()

    @property
    def listed(self) -> list[str]:
        """Images that have a marker, and no tombstone."""
        return sorted(self._listed)

    def images(self, bases: Trees) -> Damage:
        """Check the images that were not there the last time.

        :param bases: to be checked as well, if there is no such image
        :returns: the damaged ranges of each, none if it is sound
        """
        found = {}
        for image_id, summary in self._summaries():
            self._report.images += 1
            found[image_id] = self._image(image_id, summary)
            if found[image_id]:
                self._report.damaged_images.append(image_id)
        for image_id, base in bases.items():
            if image_id not in self._checked:
                found[image_id] = self._alone(image_id, *base)
        return found

    def lost(self, missed: Trees) -> Damage:
        """Tell of the images that only the catalog has.

        :returns: the damaged ranges of each
        """
        found = {}
        for image_id, known in missed.items():
            problem = missed_image.problem(
                self._repo.storage, image_id, self._left
            )
            if problem is None:
                # It came meanwhile.
                continue
            self._report.add(problem)
            found[image_id] = self._alone(image_id, *known)
            if found[image_id]:
                self._report.damaged_images.append(image_id)
        return found

    def finish(self) -> None:
        """Tell of what was left out, and of damaged chunks that are needed."""
        self._left.tell(self._report.add)
        for problem in self._touched.problems():
            self._report.add(problem)
        self._report.damaged_chunks = self._touched.to_json()
        self._report.damaged += len(self._records) - len(self._records.told)

    def _summaries(self) -> list[tuple[str, survey.Summary]]:
        """Images that count, by chain and generation."""
        summaries = []
        found = survey.survey(
            self._repo.storage, self._check, self._seen, left=self._left
        )
        self._left.tell(self._report.add)
        for image in found.values():
            if image.marked or image.deleted:
                self._seen.add(image.id)
            if image.marked and not image.deleted:
                self._listed.add(image.id)
            if image.counts:
                try:
                    summaries.append((image.id, image.summary()))
                except errors.Corrupt as error:
                    self._report.add(f'{error} (image {image.id})')
        summaries.sort(key=lambda item: (item[1].chain, item[1].generation))
        return summaries

    def _alone(
        self,
        image_id: str,
        where: location.Locator | None,
        size: int,
        chunk_size: int,
    ) -> extents.Extents:
        """Check a tree of which it isn't known which chain it is of."""
        chain = '', image_id, chunk_size
        return self._image(
            image_id, survey.Summary(chain, 0, where, size, chunk_size)
        )

    def _image(
        self, image_id: str, summary: survey.Summary
    ) -> extents.Extents:
        """Check what an image has and the one beside it hasn't.

        :returns: all that is damaged of it
        """
        self._image_id = image_id
        self._checked.add(image_id)
        self._found = extents.Extents()
        self._stand_beside(summary)
        self._new = self._tree(summary)
        self._last[summary.chain] = image_id, summary
        if self._new.root is not None:
            self._tables.get(self._new.root.pack)
        for visited in self._walker.pages(self._new, self._old):
            self._check()
            self._read(self._walker.bytes_read)
            self._report.pages += 1
            if visited.level == 0:
                self._leaf(visited)
            else:
                self._entries(visited, visited.present, '')
        if self._old is not None:
            self._carry(self._old, self._new.height, 0)
        if self._found:
            self._damage[image_id] = self._found
        return self._found

    def _stand_beside(self, summary: survey.Summary) -> None:
        image_id, last = self._last.get(summary.chain, ('', None))
        self._before = self._damage.get(image_id, extents.Extents())
        if last is None:
            self._old = None
        elif self._new.root is None or self._new.root != last.tree:
            self._old = self._tree(last)
        else:
            self._old = self._new

    def _tree(self, summary: survey.Summary) -> tree.Tree:
        return tree.Tree(
            self._repo, summary.tree, summary.size, summary.chunk_size
        )

    def _carry(self, old: tree.Tree, level: int, index: int) -> None:
        """Find the old image's damage in the pages that both have."""
        start, length = self._new.geometry.covers(level, index)
        if not any(self._before.within(start, start + length)):
            return
        self._check()
        try:
            same = self._new.where(level, index) == old.where(level, index)
        except errors.Corrupt:
            # A page of the old one alone: what is below was visited.
            same = False
        try:
            if level == 0:
                leaf = self._new.leaf(index) if same else None
                if leaf is not None:
                    self._slots(leaf, leaf.present)
                return
            inner = self._new.inner(level, index)
        except errors.Corrupt:
            self._found.add(start, length)
            return
        if inner is None:
            return
        for slot in inner.present.nonzero()[0].tolist():
            self._carry(old, level - 1, index * page.FANOUT + slot)

    def _leaf(self, leaf: page.Page) -> None:
        before = None
        if self._old is not None:
            try:
                before = self._old.leaf(leaf.index)
            except errors.Corrupt:
                # It was met when that image was checked.
                pass
        fresh = leaf.present
        if before is not None:
            fresh &= ~leaf.same_places(before)
        self._report.chunks += int(fresh.sum())
        first = leaf.index * page.FANOUT
        agreed = self._entries(leaf, fresh, f', chunks from {first}')
        self._add(leaf, fresh & ~agreed)
        self._slots(leaf, leaf.present & ~fresh)

    def _slots(self, leaf: page.Page, shared: page.Mask) -> None:
        """Note a leaf's damaged chunks.

        :param shared: slots that the old image has as well
        """
        read = self._records.of(leaf)
        self._touched.add(self._image_id, leaf, read, self._new.chunk_size)
        start = leaf.index * self._new.leaf_span
        known = self._before.chunks(start, self._new.chunk_size)
        self._add(leaf, read | (shared & known))

    def _add(self, leaf: page.Page, chunks: page.Mask) -> None:
        for slot in chunks.nonzero()[0].tolist():
            chunk = leaf.index * page.FANOUT + slot
            self._found.add(
                chunk * self._new.chunk_size,
                self._new.geometry.chunk_length(chunk),
            )

    def _entries(
        self, source: page.Page, wanted: page.Mask, where: str
    ) -> page.Mask:
        """Compare entries with the packs' footers; those that agree."""
        agreed = np.zeros_like(wanted)
        for position in np.unique(source.entries['pack'][wanted]):
            mask = wanted & (source.entries['pack'] == position)
            table = self._tables.get(source.packs[position])
            if table is None:
                continue
            found, lengths = tables.find(table, source.entries[mask])
            slots = np.flatnonzero(mask)
            agreed[slots[found]] = True
            if not found.all():
                self._tell(
                    reader.corrupt(
                        source.locator(int(slots[~found][0])),
                        f'{int((~found).sum())} records are not in their '
                        f'pack{where}',
                    )
                )
            if source.level == 0:
                self._lengths(source, slots[found], lengths[found], agreed)
        return agreed

    def _lengths(
        self, leaf: page.Page, slots: Any, lengths: Any, agreed: page.Mask
    ) -> None:
        """Make sure that chunks are as long as their places are."""
        short = np.flatnonzero(lengths != self._new.chunk_size)
        for slot, length in zip(
            slots[short].tolist(), lengths[short].tolist(), strict=True
        ):
            chunk = leaf.index * page.FANOUT + slot
            expected = self._new.geometry.chunk_length(chunk)
            if length != expected:
                agreed[slot] = False
                self._tell(
                    reader.corrupt(
                        leaf.locator(slot),
                        f'chunk {chunk} has {length} bytes instead of '
                        f'{expected}',
                    )
                )

    def _page_damaged(
        self, error: errors.Corrupt, level: int, index: int
    ) -> None:
        self._tell(error)
        self._found.add(*self._new.geometry.covers(level, index))

    def _tell(self, error: errors.Corrupt) -> None:
        self._report.add(f'{error} (image {self._image_id})')
