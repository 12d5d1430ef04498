# SPDX-License-Identifier: Apache-2.0
"""The tree of an image, being written; section "Tree" of the format."""

import collections
from collections.abc import Callable
from collections.abc import Iterator
import functools
import threading

import numpy as np

from ebackup_service.repository import errors
from ebackup_service.repository import geometry
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import page
from ebackup_service.repository import tree
from ebackup_service.repository import writer

# Inner pages that are open, 12 KiB each. Leaves come nearly in order, so few
# are needed; what is over goes out as a page, and comes back if touched again.
_OPEN = 32
# One that stays open meets ever more packs; of more than that it forgets those
# that none of its entries is in.
_PACKS = 2 * page.FANOUT


class TreeWriter:
    """Makes the pages of a new image, over those of a base if there is one.

    For any number of threads: pages are encoded and compared outside of
    ``_lock``, which protects ``_open``, the inner pages that may still
    change, ``_changed`` and ``_root``. Memory is bounded whatever the volume's
    size.

    A page whose content equals the base's page at its place is not written:
    the new tree refers to the base's.
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        pages: writer.PageWriter,
        size: int,
        chunk_size: int,
        base: tree.Tree | None,
        begun: location.Locator | None = None,
    ) -> None:
        """Begin with an image of holes, or go on where another has ended.

        :param size: of the volume, bytes; the base's may differ
        :param begun: what checkpoint() of a writer of the same size and base
            has answered
        :raises ValueError: the base has another chunk size
        """
        self.geometry = geometry.Geometry(size, chunk_size)
        if base is not None and base.chunk_size != chunk_size:
            raise ValueError(
                f'chunks of {chunk_size} bytes on a base with chunks of '
                f'{base.chunk_size}'
            )
        self._height = self.geometry.height
        self._leaves = self.geometry.leaves
        self._base = base
        self._pages = pages
        self._hash = repo.page_hasher()
        self._lock = threading.Lock()
        self._open: collections.OrderedDict[tuple[int, int], page.Page] = (
            collections.OrderedDict()
        )
        # Of these, those that are to be written once more.
        self._changed: set[tuple[int, int]] = set()
        self._root = begun
        self._finished = False

    @property
    def keepable(self) -> int:
        """Leaves below this index can be kept; the others must be put.

        The leaf in which the shorter of base and volume ends is none of them,
        unless both have one size: what it covers has changed.
        """
        if self._base is None:
            return 0
        if self._base.size == self.geometry.size:
            return self._leaves
        shorter = min(self._base.size, self.geometry.size)
        return shorter // self.geometry.leaf_span

    def put_leaf(self, index: int, leaf: page.Leaf | None) -> None:
        """Give a leaf its new content; each index at most once, any order.

        Leaves that are neither put nor kept are absent: holes.

        :param leaf: not kept; None: all holes
        :raises ValueError: an index or an entry behind the end of the volume
        :raises RepositoryError: the storage's
        """
        self._check(index, index + 1)
        where = None
        if leaf is not None:
            if leaf.index != index or leaf.level != 0:
                raise ValueError(
                    f'page {leaf.level}/{leaf.index} put as leaf {index}'
                )
            if leaf.present[self.geometry.slots(0, index) :].any():
                raise ValueError(
                    f'leaf {index} has entries behind the end of the volume'
                )
            where = self._store(leaf)
        with self._lock:
            self._place(0, index, where)

    def keep_leaf(self, index: int) -> None:
        """Take a leaf over from the base as it is; see keep_leaves."""
        self.keep_leaves(index, index + 1)

    def keep_leaves(self, start: int, stop: int) -> None:
        """Take the leaves start to stop - 1 over from the base.

        Costs what the number of pages on the two edges of the range costs,
        not what its length does.

        :raises ValueError: no base, or a leaf that is not keepable
        :raises Corrupt: the base has lost a page on the edges; then no leaf
            was taken over
        """
        self._check(start, stop)
        if self._base is None or stop > self.keepable:
            raise ValueError(
                f'leaves {start} to {stop - 1} can not be kept: the base ends '
                f'with leaf {self.keepable - 1}'
            )
        if start < stop:
            with self._lock:
                level = min(self._height, self._base.height)
                kept = [*self._kept(self._base, level, 0, start, stop)]
                for enter in kept:
                    enter()

    def checkpoint(self) -> location.Locator | None:
        """Write what is open, to go on with it, here or elsewhere.

        It stays open: what is put or kept next needn't read it back.

        Between leaves: nothing is put or kept meanwhile. It is durable when
        the pages have been flushed.

        :returns: where the root page of what was put so far is
        """
        with self._lock:
            return self._save_all()

    def finish(self) -> location.Locator | None:
        """Write what is open; where the root page is, None: holes only.

        Nothing may be put afterwards.
        """
        with self._lock:
            self._finished = True
            return self._save_all()

    def _check(self, start: int, stop: int) -> None:
        if self._finished:
            raise ValueError('the tree is finished')
        if not 0 <= start <= stop <= self._leaves:
            raise ValueError(
                f'leaves {start} to {stop - 1} of a volume with {self._leaves}'
            )

    def _store(self, source: page.Page) -> location.Locator | None:
        """Write a page, unless it is empty or the base has it."""
        if source.empty:
            return None
        plain = source.encode()
        page_id = self._hash(plain)
        known = self._known(source.level, source.index)
        if known is not None and known.id == page_id:
            return known
        return self._pages.add(page_id, plain)

    def _known(self, level: int, index: int) -> location.Locator | None:
        """Where the base has a page."""
        if self._base is None:
            return None
        try:
            return self._base.where(level, index)
        except errors.Corrupt:
            # It is below a page that is lost.
            return None

    def _place(
        self, level: int, index: int, where: location.Locator | None
    ) -> None:
        """Enter a page into its parent. Under _lock, as all below."""
        if level == self._height:
            self._root = where
            return
        slot = index % page.FANOUT
        parent = self._opened(level + 1, index // page.FANOUT)
        if where is None:
            parent.clear(slot)
        else:
            parent.set(slot, where)

    def _opened(self, level: int, index: int) -> page.Page:
        """An inner page to be changed."""
        key = (level, index)
        if key in self._open:
            self._open.move_to_end(key)
        else:
            self._open_page(key)
        self._changed.add(key)
        return self._open[key]

    def _open_page(self, key: tuple[int, int]) -> None:
        # The lowest go first, so that the parents of an open page are open:
        # closing one never opens another.
        while len(self._open) >= _OPEN:
            lowest = min(self._open, key=lambda k: k[0])
            self._save(lowest)
            del self._open[lowest]
        level, index = key
        if level == self._height:
            where = self._root
        else:
            parent = self._opened(level + 1, index // page.FANOUT)
            where = parent.get(index % page.FANOUT)
        if where is None:
            self._open[key] = page.Page(level, index)
        else:
            self._open[key] = tree.decode(
                self._pages.read(where), where, level, index, self.geometry
            )

    def _save(self, key: tuple[int, int]) -> None:
        """Write an open page, if it has changed, and enter it above."""
        if key not in self._changed:
            return
        level, index = key
        found = self._open[key]
        self._place(level, index, self._store(found))
        self._changed.remove(key)
        if len(found.packs) > _PACKS:
            found.forget_packs()

    def _save_all(self) -> location.Locator | None:
        for level in range(1, self._height + 1):
            for key in sorted(k for k in self._open if k[0] == level):
                self._save(key)
        return self._root

    def _kept(
        self, base: tree.Tree, level: int, index: int, start: int, stop: int
    ) -> Iterator[Callable[[], None]]:
        """What enters leaves of the base, for the part below a page of it.

        :raises Corrupt: the base has lost a page on the edges
        """
        span = page.FANOUT**level
        end = (index + 1) * span
        if base.size == self.geometry.size:
            # What the last page of a level covers ends with the volume.
            end = min(end, self._leaves)
        if start <= index * span and end <= stop:
            where = base.where(level, index)
            yield functools.partial(self._place, level, index, where)
            return
        source = base.inner(level, index)
        if source is None:
            return
        span //= page.FANOUT
        # Slots that the range touches, and those that it covers.
        low = max(start // span - index * page.FANOUT, 0)
        high = min(-(-stop // span) - index * page.FANOUT, page.FANOUT)
        first = max(-(-start // span) - index * page.FANOUT, 0)
        last = min(stop // span - index * page.FANOUT, page.FANOUT)
        if first < last:
            mask = np.zeros(page.FANOUT, dtype=np.bool_)
            mask[first:last] = True
            yield functools.partial(self._copy, level, index, source, mask)
        for slot in range(low, high):
            if not first <= slot < last:
                below = index * page.FANOUT + slot
                yield from self._kept(base, level - 1, below, start, stop)

    def _copy(
        self, level: int, index: int, source: page.Page, mask: page.Mask
    ) -> None:
        self._opened(level, index).copy_slots(source, mask)
