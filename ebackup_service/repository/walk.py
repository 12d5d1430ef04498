# SPDX-License-Identifier: Apache-2.0
"""Walk over the pages in which one tree differs from another.

The images of a chain share most of their pages, at the same places: walking
each beside its predecessor meets every page once, without remembering which
were met.
"""

from collections.abc import Iterable, Iterator

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import tree


def stop(error: errors.Corrupt, level: int, index: int) -> None:
    """What to do about a damaged page: not to go on."""
    raise error


class Walker:
    """Belongs to one thread. Holds one page and one buffer a level.

    :ivar bytes_read: of pages, damaged ones included, but not of old trees
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        damaged: tree.Damaged = stop,
        exact: bool = False,
        copies: bool = False,
    ) -> None:
        """Walk trees of one repository.

        :param damaged: called for a page that can't be read, instead of
            visiting it and those below; may raise
        :param exact: raise for a damaged page of an old tree, too, instead of
            visiting more than differs
        :param copies: visit pages that the old tree has, too, if its copies
            are stored elsewhere: one may be damaged, and the other not
        """
        self.bytes_read = 0
        self._repo = repo
        self._damaged = damaged
        self._exact = exact
        self._copies = copies
        self._readers: dict[int, reader.RecordReader] = {}

    def pages(
        self, new: tree.Tree, old: tree.Tree | None
    ) -> Iterator[page.Page]:
        """Pages of ``new`` that ``old`` hasn't at the same place.

        See located().
        """
        for _, visited in self.located(new, old):
            yield visited

    def located(
        self, new: tree.Tree, old: tree.Tree | None
    ) -> Iterator[tuple[bytes, page.Page]]:
        """(id, page) of pages of ``new`` that ``old`` hasn't at their places.

        Parents before children. A page that was visited may be changed by
        nobody until the next is asked for.

        :raises RepositoryError: the storage's
        """
        if new.root is None:
            return
        known = None if old is None else self._old_top(old, new.height)
        if known is not None and self._same(known, new.root):
            return
        self.bytes_read += new.root.length
        try:
            plain = self._reader(new.height).read(new.root)
            top = tree.decode(plain, new.root, new.height, 0, new.geometry)
        except errors.Corrupt as error:
            self._damaged(error, new.height, 0)
            return
        yield from self._below(new.root.id, top, new, old)

    def _below(
        self,
        page_id: bytes,
        parent: page.Page,
        new: tree.Tree,
        old: tree.Tree | None,
    ) -> Iterator[tuple[bytes, page.Page]]:
        yield page_id, parent
        if parent.level == 0:
            return
        level = parent.level - 1
        wanted = parent.present
        before = None
        if old is not None:
            before = self._old_inner(old, parent.level, parent.index)
        if before is not None:
            if self._copies:
                wanted &= ~parent.same_places(before)
            else:
                wanted &= ~parent.same_ids(before.ids)
        elif old is not None and old.root is not None:
            # All of a smaller tree may be a part of this one.
            if (old.height, parent.index) == (level, 0):
                first = parent.get(0)
                wanted[0] &= first is None or not self._same(first, old.root)
        slots = wanted.nonzero()[0].tolist()
        for slot, plain in self._read(parent, slots):
            index = parent.index * page.FANOUT + slot
            where = parent.locator(slot)
            self.bytes_read += where.length
            try:
                child = tree.decode(plain, where, level, index, new.geometry)
            except errors.Corrupt as error:
                self._damaged(error, level, index)
                continue
            yield from self._below(where.id, child, new, old)

    def _read(
        self, parent: page.Page, slots: Iterable[int]
    ) -> Iterator[tuple[int, bytes]]:
        """Children's bytes, many by one request while none is damaged."""
        records = self._reader(parent.level - 1)
        left = set(slots)
        try:
            for slot, plain in records.read_slots(parent, slots):
                left.discard(slot)
                yield slot, bytes(plain)
            return
        except errors.Corrupt:
            # One by one, to visit those that are whole.
            pass
        for slot in sorted(left):
            try:
                plain = records.read(parent.locator(slot))
            except errors.Corrupt as error:
                self._damaged(
                    error, parent.level - 1, parent.index * page.FANOUT + slot
                )
                continue
            yield slot, bytes(plain)

    def _same(self, one: location.Locator, other: location.Locator) -> bool:
        if one.id != other.id:
            return False
        return not self._copies or one[:3] == other[:3]

    def _old_top(self, old: tree.Tree, level: int) -> location.Locator | None:
        try:
            return old.where(level, 0)
        except errors.Corrupt:
            if self._exact:
                raise
            # It is below a page that was met when that tree was walked.
            return None

    def _old_inner(
        self, old: tree.Tree, level: int, index: int
    ) -> page.Page | None:
        try:
            return old.inner(level, index)
        except errors.Corrupt:
            if self._exact:
                raise
            # It was met when that tree was walked.
            return None

    def _reader(self, level: int) -> reader.RecordReader:
        found = self._readers.get(level)
        if found is None:
            found = reader.RecordReader(self._repo)
            self._readers[level] = found
        return found
