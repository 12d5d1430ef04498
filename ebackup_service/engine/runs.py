# SPDX-License-Identifier: Apache-2.0
"""Neighbours that can be read or written at once."""

from collections.abc import Iterator
import sys

import numpy as np
from numpy import typing as npt

Mask = npt.NDArray[np.bool_]


def of_mask(mask: Mask, limit: int = sys.maxsize) -> Iterator[tuple[int, int]]:
    """(first, stop) of each run of true elements, ascending.

    :param limit: elements of a run, at most; longer ones are cut
    """
    inside = np.zeros(len(mask) + 2, dtype=np.int8)
    inside[1:-1] = mask
    edges = np.flatnonzero(np.diff(inside)).tolist()
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        first = start
        while first < end:
            stop = min(first + limit, end)
            yield first, stop
            first = stop


class Ahead:
    """Ascending numbers, by ranges that ascend, too."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._next: int | None = -1

    def within(self, start: int, stop: int) -> Iterator[int]:
        while self._next is not None and self._next < start:
            self._next = next(self._numbers, None)
        while self._next is not None and self._next < stop:
            yield self._next
            self._next = next(self._numbers, None)
