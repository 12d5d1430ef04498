# SPDX-License-Identifier: Apache-2.0
"""Which parts of an image are allocated, and which have changed.

librbd has two ways to compare. "Whole objects" by the object map is fast, and
wrong after a rollback: then the map says of objects that they are as in the
last snapshot, though they are as in the one before it. To ask each object for
its snapshots is always right, and takes a request for each object. So the
object map only tells which objects exist in the one or the other state; those
are asked.

librbd calls back for each extent, and can't be told to go on later. So it is
asked for a window of the image at a time.
"""

import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy import typing as npt

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import rbd_cluster
from ebackup_service.production import rbd_object_map

# Bytes of an image, in whose part of the object map is looked at a time: 2^18
# objects of 4 MiB.
_MAP_WINDOW = 1 << 40
# Bytes of an image, whose objects are asked: 2^17 extents of 4 KiB, at most.
_WINDOW = 1 << 29
# Bytes that listing takes, with one window ahead of another, and what librbd
# takes for it (measured: of an image that is changed in every other block).
TAKEN = 12 << 20
# Objects that don't exist are asked, too, if so few of them are between two
# that do: one call for all is faster.
_GAP = 16
# Extents that are made of arrays at a time.
_AT_ONCE = 1024

_DATA, _HOLE = base.ExtentKind.DATA, base.ExtentKind.HOLE

Run = tuple[int, int]  # start, end
Numbers = npt.NDArray[np.int64]


class View(NamedTuple):
    """An image that is open, and the id of the snapshot that it is open at.

    None: as it is now.
    """

    image: rbd_cluster.Image
    snapshot: int | None


class Extents:
    """Those of a window: in arrays, which take a fifth of what tuples do.

    :param kinds: whether there are data
    """

    def __init__(self, starts: Numbers, ends: Numbers, kinds: Numbers) -> None:
        self._starts = starts
        self._ends = ends
        self._kinds = kinds

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[base.Extent]:
        for first in range(0, len(self), _AT_ONCE):
            few = slice(first, first + _AT_ONCE)
            for start, end, exists in zip(
                self._starts[few].tolist(),
                self._ends[few].tolist(),
                self._kinds[few].tolist(),
                strict=True,
            ):
                kind = _DATA if exists else _HOLE
                yield base.Extent(start, end - start, kind)


class Allocated:
    """What is allocated, parents included."""

    gaps = _HOLE

    def __init__(self, cluster: rbd_cluster.Cluster, view: View) -> None:
        self._cluster = cluster
        self._view = view

    def windows(self) -> Iterator[Extents]:
        """Extents, sorted, a window at a time."""
        cluster, image = self._cluster, self._view.image
        size = image.size()
        if _has_parent(cluster, image):
            # librbd looks at all of the parent for each call. So it is asked
            # for large windows, and answers whole objects.
            for run in _cut((0, size), _MAP_WINDOW):
                yield _extents(cluster, image, None, run, True)
            return
        for run in _existing(cluster, [self._view], size):
            yield _extents(cluster, image, None, run, False)


class Changed:
    """What is different from an earlier snapshot.

    :param before: the image at that snapshot
    :param since: its name
    """

    gaps = base.ExtentKind.UNCHANGED

    def __init__(
        self,
        cluster: rbd_cluster.Cluster,
        view: View,
        before: View,
        since: str,
    ) -> None:
        self._cluster = cluster
        self._views = [view, before]
        self._since = since

    def windows(self) -> Iterator[Extents]:
        """Extents, sorted, a window at a time."""
        image = self._views[0].image
        for run in _existing(self._cluster, self._views, image.size()):
            yield _extents(self._cluster, image, self._since, run, False)


Lister = Allocated | Changed


def is_empty(cluster: rbd_cluster.Cluster, view: View) -> bool:
    """Whether all of it reads as zeros, because nothing is there."""
    return not any(Allocated(cluster, view).windows())


def _has_parent(
    cluster: rbd_cluster.Cluster, image: rbd_cluster.Image
) -> bool:
    try:
        return bool(cluster.calls.run(image.overlap))
    except cluster.library.rbd.ImageNotFound:
        return False


def _existing(
    cluster: rbd_cluster.Cluster, views: list[View], size: int
) -> Iterator[Run]:
    """Windows with all objects that exist in one of the views.

    Without valid object maps that is the whole image.
    """
    stat = cluster.calls.run(views[0].image.stat)
    width = cluster.calls.run(views[0].image.stripe_count)
    # What is not a multiple of this is no boundary of objects.
    period = stat['obj_size'] * width
    window = max(_WINDOW // period, 1) * period
    maps = [
        rbd_object_map.load(
            *(cluster, view.image, view.snapshot),
            *(-(-view.image.size() // period), width),
        )
        for view in views
    ]
    known = [one for one in maps if one is not None]
    if len(known) < len(maps):
        yield from _cut((0, size), window)
        return
    # A multiple of what a byte of the map is about.
    step = max(_MAP_WINDOW // period // 4, 1) * 4
    for first, stop in _cut((0, -(-size // period)), step):
        exist = np.zeros((stop - first) * width, dtype=bool)
        for one in known:
            found = one.exist(first * width, stop * width)
            exist[: len(found)] |= found
        starts = np.flatnonzero(exist.reshape(-1, width).any(axis=1)) + first
        for run in _joined(
            starts * period, (starts + 1) * period, _GAP * period
        ):
            yield from _cut((run[0], min(run[1], size)), window)


def _extents(
    cluster: rbd_cluster.Cluster,
    image: rbd_cluster.Image,
    since: str | None,
    run: Run,
    is_whole: bool,
) -> Extents:
    """What librbd says of a window, sorted, neighbours of a kind as one.

    :raises: ExtentsInvalid
    """
    found = _find(cluster, image, since, run, is_whole, is_whole)
    if not len(found):
        return Extents(*found.T)
    if (found[:-1, 0] > found[1:, 0]).any():
        found = found[np.argsort(found[:, 0], kind='stable')]
    offsets, ends = found[:, 0], found[:, 0] + found[:, 1]
    if (
        not found[:, 1].all()
        or offsets[0] < run[0]
        or ends[-1] > run[1]
        or (ends[:-1] > offsets[1:]).any()
    ):
        raise errors.ExtentsInvalid(
            f'librbd named extents that overlap, or are outside of what it '
            f'was asked for, bytes {run[0]} to {run[1]} of an image: is it a '
            'known defect of its release?'
        )
    kinds = found[:, 2]
    begins = np.ones(len(found), dtype=bool)
    begins[1:] = (ends[:-1] != offsets[1:]) | (kinds[:-1] != kinds[1:])
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(found)) - 1
    return Extents(offsets[firsts], ends[lasts], kinds[firsts])


def _find(
    cluster: rbd_cluster.Cluster,
    image: rbd_cluster.Image,
    since: str | None,
    run: Run,
    with_parents: bool,
    is_whole: bool,
) -> Numbers:
    """Rows of offset, length, and whether there are data."""
    found = array.array('q')

    def add(offset: int, length: int, exists: bool) -> None:
        found.extend((offset, length, exists))

    def ask() -> None:
        end = min(run[1], image.size())
        if run[0] < end:
            image.diff_iterate(
                *(run[0], end - run[0], since, add),
                include_parent=with_parents,
                whole_object=is_whole,
            )

    cluster.calls.run(ask)
    return np.frombuffer(found, dtype=np.int64).reshape(-1, 3)


def _joined(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], gap: int
) -> list[Run]:
    """Those that are so near to each other as one."""
    if not len(starts):
        return []
    order = np.argsort(starts, kind='stable')
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    begins = np.ones(len(starts), dtype=bool)
    begins[1:] = starts[1:] > ends[:-1] + gap
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(starts)) - 1
    return list(
        zip(starts[firsts].tolist(), ends[lasts].tolist(), strict=True)
    )


def _cut(run: Run, length: int) -> Iterator[Run]:
    for start in range(run[0], run[1], length):
        yield start, min(start + length, run[1])
