# SPDX-License-Identifier: Apache-2.0
"""Ranges of a volume, few enough to be kept and sent."""

import bisect
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ebackup_service.repository import page

# Ranges of one volume; when there would be more, those that are nearest to
# each other are joined, with what is between them.
MOST = 1000


class Extents:
    """Disjoint ranges of bytes, ascending. Belongs to one thread at a time."""

    def __init__(self, pairs: Iterable[Sequence[int]] = ()) -> None:
        """:param pairs: (offset, length) each, in any order"""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for offset, length in pairs:
            self.add(offset, length)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(offset, length) of each."""
        for start, end in zip(self._starts, self._ends, strict=True):
            yield start, end - start

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Extents) and list(self) == list(other)

    def __repr__(self) -> str:
        return f'Extents({list(self)})'

    @property
    def bytes(self) -> int:
        return sum(self._ends) - sum(self._starts)

    def add(self, offset: int, length: int) -> None:
        """Add a range; what it touches becomes one with it."""
        if length <= 0:
            return
        end = offset + length
        first = bisect.bisect_left(self._ends, offset)
        stop = bisect.bisect_right(self._starts, end)
        if first < stop:
            offset = min(offset, self._starts[first])
            end = max(end, self._ends[stop - 1])
        self._starts[first:stop] = [offset]
        self._ends[first:stop] = [end]
        if len(self._starts) > MOST:
            self._join()

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of what lies between two bytes."""
        first = bisect.bisect_right(self._ends, start)
        stop = bisect.bisect_left(self._starts, end)
        for number in range(first, stop):
            begin = max(self._starts[number], start)
            yield begin, min(self._ends[number], end) - begin

    def minus(self, other: 'Extents') -> 'Extents':
        """What the other ones don't cover."""
        left = Extents()
        for offset, length in self:
            position = offset
            for begin, size in other.within(offset, offset + length):
                left.add(position, begin - position)
                position = begin + size
            left.add(position, offset + length - position)
        return left

    def chunks(self, start: int, chunk_size: int) -> page.Mask:
        """Which chunks of the leaf that begins at ``start`` are touched."""
        mask = np.zeros(page.FANOUT, dtype=np.bool_)
        end = start + page.FANOUT * chunk_size
        for offset, length in self.within(start, end):
            first = (offset - start) // chunk_size
            stop = -(-(offset + length - start) // chunk_size)
            mask[first:stop] = True
        return mask

    def to_json(self) -> list[list[int]]:
        return [[offset, length] for offset, length in self]

    def _join(self) -> None:
        gaps = np.array(self._starts[1:]) - np.array(self._ends[:-1])
        widest = np.sort(np.argsort(gaps, kind='stable')[-(MOST // 2) :])
        starts = [self._starts[0]]
        ends = []
        for number in widest.tolist():
            ends.append(self._ends[number])
            starts.append(self._starts[number + 1])
        ends.append(self._ends[-1])
        self._starts, self._ends = starts, ends
