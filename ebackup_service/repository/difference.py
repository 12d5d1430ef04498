# SPDX-License-Identifier: Apache-2.0
"""In which leaves, and chunks, two trees differ."""

from collections.abc import Iterator

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import tree

_EMPTY = page.Leaf(0)


def leaves(one: tree.Tree, other: tree.Tree) -> Iterator[int]:
    """Indices of the leaves in which two trees of a chain differ, ascending.

    What both have in common is not looked at, so it takes as long as the
    difference is large. Below a page that can't be read, all may be different.
    The volumes may differ in size.

    :raises ValueError: the chunks of the two differ in size
    :raises RepositoryError: the storage's, but not Corrupt
    """
    if one.chunk_size != other.chunk_size:
        raise ValueError('trees of different chunk sizes are not compared')
    yield from _Comparison(one, other).below(max(one.height, other.height), 0)


def chunks(one: page.Page | None, other: page.Page | None) -> page.Mask:
    """Which chunks of two leaves differ: array of 256 bool.

    :param one: None: all holes
    """
    return ~(one or _EMPTY).same_ids((other or _EMPTY).ids)


class _Comparison:
    def __init__(self, one: tree.Tree, other: tree.Tree) -> None:
        self._trees = (one, other)
        self._leaves = max(t.geometry.leaves for t in self._trees)
        # From here upwards one of them has no pages, whatever it has below.
        self._lower = min(t.height for t in self._trees)

    def below(self, level: int, index: int) -> Iterator[int]:
        """The leaves that differ below the page (level, index)."""
        try:
            places = [t.where(level, index) for t in self._trees]
            if level <= self._lower and _same(*places):
                return
            if level == 0:
                yield index
                return
            slots = self._slots(level, index)
        except errors.Corrupt:
            span = page.FANOUT**level
            end = min((index + 1) * span, self._leaves)
            yield from range(index * span, end)
            return
        for slot in slots:
            yield from self.below(level - 1, index * page.FANOUT + slot)

    def _slots(self, level: int, index: int) -> list[int]:
        """Those of an inner page below which there may be a difference."""
        pages = [
            t.inner(level, index) if level <= t.height else None
            for t in self._trees
        ]
        differ = chunks(*pages)
        if level > self._lower and index == 0:
            differ[0] = True
        slots: list[int] = differ.nonzero()[0].tolist()
        return slots


def _same(
    one: location.Locator | None, other: location.Locator | None
) -> bool:
    if one is None or other is None:
        return one is other
    return one.id == other.id
