# SPDX-License-Identifier: Apache-2.0
"""The tree of an image, being read; section "Tree" of the format."""

import collections
from collections.abc import Callable, Iterator
import threading

from ebackup_service.repository import errors
from ebackup_service.repository import geometry
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import record

# Called with what is wrong with a page, its level and its index.
Damaged = Callable[[errors.Corrupt, int, int], None]

# Inner pages that are kept: 12 KiB each, more than enough for all workers to
# be in different parts of a volume.
_CACHED = 64


class Tree:
    """The pages of one image, loaded when asked for, each one verified.

    For any number of threads: ``_lock`` protects ``_inner``, the inner pages
    that were used last, which nobody changes; readers are per thread.

    :ivar root: where the root page is, None: holes only
    :ivar geometry: of the volume
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        root: location.Locator | None,
        size: int,
        chunk_size: int,
    ) -> None:
        """Nothing is read yet.

        :param size: of the volume, bytes
        :param chunk_size: bytes
        :raises ValueError: impossible sizes
        """
        self.geometry = geometry.Geometry(size, chunk_size)
        self.height = self.geometry.height
        self.root = root
        self._repo = repo
        self._lock = threading.Lock()
        self._inner: collections.OrderedDict[tuple[int, int], page.Page] = (
            collections.OrderedDict()
        )
        self._local = threading.local()

    @property
    def size(self) -> int:
        return self.geometry.size

    @property
    def chunk_size(self) -> int:
        return self.geometry.chunk_size

    @property
    def leaf_span(self) -> int:
        """Bytes that a leaf covers."""
        return self.geometry.leaf_span

    def leaf(self, index: int) -> page.Leaf | None:
        """The leaf that covers the bytes from index * leaf_span on.

        It is the caller's own.

        :returns: None if it is all holes, or behind the end
        :raises Corrupt: a page on the way can't be had, for ever
        """
        where = self.where(0, index)
        if where is None:
            return None
        leaf = self._load(where, 0, index)
        assert isinstance(leaf, page.Leaf)
        return leaf

    def leaves(
        self,
        start: int = 0,
        stop: int | None = None,
        damaged: Damaged | None = None,
    ) -> Iterator[int]:
        """Indices of the leaves that aren't all holes, ascending.

        :param damaged: called for a page above them that can't be had, with
            its level and index, when it is its turn; None: that is raised
        """
        stop = self.geometry.leaves if stop is None else stop
        if self.root is not None:
            yield from self._leaves(self.height, 0, start, stop, damaged)

    def where(self, level: int, index: int) -> location.Locator | None:
        """Where the page (level, index) is, None if there is none."""
        if level > self.height or self.root is None:
            return None
        if level == self.height:
            return self.root if index == 0 else None
        parent = self.inner(level + 1, index // page.FANOUT)
        return None if parent is None else parent.get(index % page.FANOUT)

    def inner(self, level: int, index: int) -> page.Page | None:
        """An inner page, None if there is none. Nobody may change it."""
        key = (level, index)
        with self._lock:
            found = self._inner.get(key)
            if found is not None:
                self._inner.move_to_end(key)
                return found
        where = self.where(level, index)
        if where is None:
            return None
        loaded = self._load(where, level, index)
        with self._lock:
            self._inner[key] = loaded
            if len(self._inner) > _CACHED:
                self._inner.popitem(last=False)
        return loaded

    def _leaves(
        self,
        level: int,
        index: int,
        start: int,
        stop: int,
        damaged: Damaged | None,
    ) -> Iterator[int]:
        if level == 0:
            if start <= index < stop:
                yield index
            return
        try:
            source = self.inner(level, index)
        except errors.Corrupt as error:
            if damaged is None:
                raise
            damaged(error, level, index)
            return
        if source is None:
            return
        span = page.FANOUT ** (level - 1)
        for slot in source.present.nonzero()[0].tolist():
            child = index * page.FANOUT + slot
            if child * span < stop and (child + 1) * span > start:
                yield from self._leaves(level - 1, child, start, stop, damaged)

    def _load(
        self, where: location.Locator, level: int, index: int
    ) -> page.Page:
        records: reader.RecordReader | None = getattr(
            self._local, 'records', None
        )
        if records is None:
            records = self._local.records = reader.RecordReader(self._repo)
        return decode(records.read(where), where, level, index, self.geometry)


def decode(
    plain: bytes | bytearray | memoryview,
    where: location.Locator,
    level: int,
    index: int,
    shape: geometry.Geometry,
) -> page.Page:
    """A page from its verified bytes, checked against the tree it is in.

    :raises Corrupt: it isn't the page that belongs there
    """
    try:
        loaded = page.decode(plain, level, index)
    except record.Malformed as error:
        raise reader.corrupt(where, str(error)) from error
    except errors.UnsupportedFormat as error:
        raise reader.unsupported(where, error) from error
    if loaded.present[shape.slots(level, index) :].any():
        raise reader.corrupt(
            where, 'it has entries behind the end of the volume'
        )
    return loaded
