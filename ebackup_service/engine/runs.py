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
