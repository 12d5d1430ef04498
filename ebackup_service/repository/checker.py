# SPDX-License-Identifier: Apache-2.0
"""Find damage before a restore does.

Reads every document, every page of every image that counts, header and footer
of every pack that they reach, and, if asked for, every chunk. The images of a
chain are walked beside each other, so that what they share is read once.
"""

from collections.abc import Callable, Iterator
import dataclasses

import numpy as np

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from ebackup_service.repository import opened
from ebackup_service.repository import owner
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import survey
from ebackup_service.repository import tables
from ebackup_service.repository import tree
from ebackup_service.repository import walk

# Problems that are told; more are only counted.
_TOLD = 1000


@dataclasses.dataclass(slots=True)
class CheckReport:
    """What a check has met.

    :ivar images: that count
    :ivar pages: each once
    :ivar chunks: records of chunks, those of several images about once
    :ivar problems: what is damaged and where, at most 1000
    :ivar damaged: how many problems there are
    """

    images: int = 0
    pages: int = 0
    chunks: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    damaged: int = 0

    def add(self, problem: str) -> None:
        self.damaged += 1
        if len(self.problems) < _TOLD:
            self.problems.append(problem)


def check(
    repo: opened.OpenRepository,
    read_data: bool,
    check: Callable[[], None],
) -> CheckReport:
    """Check a repository; damage is reported, not raised.

    Runs beside sessions. An image that is deleted meanwhile, whose packs a
    collection takes away, may be reported as damaged: pin what is checked.

    :param read_data: decode and verify all chunks too
    :param check: called often; raises to stop
    :raises RepositoryError: the storage's
    """
    repo.config.require_check()
    report = CheckReport()
    _documents(repo, report, check)
    run = _Check(repo, report, read_data, check)
    old: tree.Tree | None = None
    chain = None
    for image_id, summary in _summaries(repo, report, check):
        if summary.chain != chain:
            chain, old = summary.chain, None
        new = tree.Tree(repo, summary.tree, summary.size, summary.chunk_size)
        report.images += 1
        run.image(image_id, new, old)
        old = new
    return report


def _documents(
    repo: opened.OpenRepository,
    report: CheckReport,
    check: Callable[[], None],
) -> None:
    """Owner marker and tombstones: what no image leads to."""
    try:
        owner.read(repo.storage)
    except errors.Corrupt as error:
        report.add(str(error))
    for info in repo.storage.list(layout.TOMBSTONES):
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
            report.add(str(error))
        except errors.ObjectMissing:
            # A collection has removed it meanwhile.
            continue


def _summaries(
    repo: opened.OpenRepository,
    report: CheckReport,
    check: Callable[[], None],
) -> Iterator[tuple[str, survey.Summary]]:
    """Images that count, by chain and generation."""
    summaries = []
    for image in survey.survey(repo.storage, check).values():
        if image.counts:
            try:
                summaries.append((image.id, image.summary()))
            except errors.Corrupt as error:
                report.add(f'{error} (image {image.id})')
    summaries.sort(key=lambda item: (item[1].chain, item[1].generation))
    yield from summaries


class _Check:
    """The check of one repository; belongs to one thread."""

    def __init__(
        self,
        repo: opened.OpenRepository,
        report: CheckReport,
        read_data: bool,
        check: Callable[[], None],
    ) -> None:
        self._report = report
        self._read_data = read_data
        self._check = check
        self._walker = walk.Walker(repo, self._damaged)
        self._chunks = reader.RecordReader(repo)
        self._tables = tables.PackTables(repo, self._damaged)
        self._image_id = ''

    def image(
        self, image_id: str, new: tree.Tree, old: tree.Tree | None
    ) -> None:
        """Check what an image has and its predecessor hasn't."""
        self._image_id = image_id
        if new.root is not None:
            self._tables.get(new.root.pack)
        for visited in self._walker.pages(new, old):
            self._check()
            self._report.pages += 1
            if visited.level == 0:
                self._leaf(visited, new, old)
            else:
                self._entries(visited, visited.present, '')

    def _leaf(
        self, leaf: page.Page, new: tree.Tree, old: tree.Tree | None
    ) -> None:
        wanted = leaf.present
        before = None
        if old is not None:
            try:
                before = old.leaf(leaf.index)
            except errors.Corrupt:
                # It was met when that image was checked.
                pass
        if before is not None:
            wanted &= ~leaf.same_ids(before.ids)
        self._report.chunks += int(wanted.sum())
        first = leaf.index * page.FANOUT
        wanted = self._entries(leaf, wanted, f', chunks from {first}')
        if self._read_data:
            self._read(leaf, wanted, new)

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
            found = tables.contains(table, source.entries[mask])
            agreed[np.flatnonzero(mask)[found]] = True
            if not found.all():
                slot = int(np.flatnonzero(mask)[~found][0])
                self._damaged(
                    reader.corrupt(
                        source.locator(slot),
                        f'{int((~found).sum())} records are not in their '
                        f'pack{where}',
                    )
                )
        return agreed

    def _read(
        self, leaf: page.Page, wanted: page.Mask, new: tree.Tree
    ) -> None:
        left = set(np.flatnonzero(wanted).tolist())
        try:
            for slot, plain in self._chunks.read_slots(leaf, left.copy()):
                self._check()
                left.discard(slot)
                self._length(leaf, slot, len(plain), new)
        except errors.Corrupt:
            # One by one, to tell every chunk that is damaged.
            self._read_singly(leaf, left, new)

    def _read_singly(
        self, leaf: page.Page, slots: set[int], new: tree.Tree
    ) -> None:
        for slot in sorted(slots):
            self._check()
            try:
                plain = self._chunks.read(leaf.locator(slot))
            except errors.Corrupt as error:
                chunk = leaf.index * page.FANOUT + slot
                self._report.add(
                    f'{error} (image {self._image_id}, bytes from '
                    f'{chunk * new.chunk_size})'
                )
            else:
                self._length(leaf, slot, len(plain), new)

    def _length(
        self, leaf: page.Page, slot: int, length: int, new: tree.Tree
    ) -> None:
        chunk = leaf.index * page.FANOUT + slot
        expected = new.geometry.chunk_length(chunk)
        if length != expected:
            self._damaged(
                reader.corrupt(
                    leaf.locator(slot),
                    f'chunk {chunk} has {length} bytes instead of {expected}',
                )
            )

    def _damaged(self, error: errors.Corrupt) -> None:
        self._report.add(f'{error} (image {self._image_id})')
