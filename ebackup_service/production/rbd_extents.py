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

import numpy as np
from numpy import typing as npt

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import rbd_cluster

# Bytes of an image, in whose part of the object map is looked: 2^18 objects of
# 4 MiB. Each time all of the map is read, so this must not be much smaller.
_MAP_WINDOW = 1 << 40
# Bytes of an image, whose objects are asked: 2^17 extents of 4 KiB, at most.
_WINDOW = 1 << 29
# Objects that don't exist are asked, too, if so few of them are between two
# that do: one call for all is faster.
_GAP = 16

_DATA, _HOLE = base.ExtentKind.DATA, base.ExtentKind.HOLE

Run = tuple[int, int]  # start, end
Numbers = npt.NDArray[np.int64]


class Allocated:
    """What is allocated, parents included."""

    gaps = _HOLE

    def __init__(
        self, cluster: rbd_cluster.Cluster, image: rbd_cluster.Image
    ) -> None:
        self._cluster = cluster
        self._image = image

    def windows(self) -> Iterator[list[base.Extent]]:
        """Extents, sorted, a window at a time."""
        cluster, image = self._cluster, self._image
        size = image.size()
        if _has_parent(cluster, image):
            # librbd looks at all of the parent for each call. So it is asked
            # for large windows, and answers whole objects.
            for run in _cut((0, size), _MAP_WINDOW):
                yield _extents(cluster, image, None, run, True)
            return
        for run in _existing(cluster, [image], size):
            yield _extents(cluster, image, None, run, False)


class Changed:
    """What is different from an earlier snapshot.

    :param before: the image, open at that snapshot
    :param since: its name
    """

    gaps = base.ExtentKind.UNCHANGED

    def __init__(
        self,
        cluster: rbd_cluster.Cluster,
        image: rbd_cluster.Image,
        before: rbd_cluster.Image,
        since: str,
    ) -> None:
        self._cluster = cluster
        self._images = [image, before]
        self._since = since

    def windows(self) -> Iterator[list[base.Extent]]:
        """Extents, sorted, a window at a time."""
        image = self._images[0]
        for run in _existing(self._cluster, self._images, image.size()):
            yield _extents(self._cluster, image, self._since, run, False)


Lister = Allocated | Changed


def is_empty(cluster: rbd_cluster.Cluster, image: rbd_cluster.Image) -> bool:
    """Whether all of it reads as zeros, because nothing is there."""
    return not any(Allocated(cluster, image).windows())


def _has_parent(
    cluster: rbd_cluster.Cluster, image: rbd_cluster.Image
) -> bool:
    try:
        return bool(cluster.calls.run(image.overlap))
    except cluster.library.rbd.ImageNotFound:
        return False


def _existing(
    cluster: rbd_cluster.Cluster, images: list[rbd_cluster.Image], size: int
) -> Iterator[Run]:
    """Windows with all objects that exist in one of the images.

    Without valid object maps that is the whole image.
    """
    stat = cluster.calls.run(images[0].stat)
    # What is not a multiple of this is no boundary of objects.
    period = stat['obj_size'] * cluster.calls.run(images[0].stripe_count)
    window = max(_WINDOW // period, 1) * period
    if not all(_has_map(cluster, image) for image in images):
        yield from _cut((0, size), window)
        return
    for start, end in _cut((0, size), max(_MAP_WINDOW // period, 1) * period):
        found = [
            _find(cluster, image, None, (start, end), False, True)
            for image in images
        ]
        offsets, lengths, _ = np.concatenate(found).T
        starts = offsets // period * period
        ends = -(-(offsets + lengths) // period) * period
        for run in _joined(starts, ends, _GAP * period):
            yield from _cut((run[0], min(run[1], size)), window)


def _has_map(cluster: rbd_cluster.Cluster, image: rbd_cluster.Image) -> bool:
    rbd = cluster.library.rbd
    wanted = rbd.RBD_FEATURE_OBJECT_MAP | rbd.RBD_FEATURE_FAST_DIFF
    broken = rbd.RBD_FLAG_OBJECT_MAP_INVALID | rbd.RBD_FLAG_FAST_DIFF_INVALID
    features = cluster.calls.run(image.features)
    return (
        features & wanted == wanted
        and not cluster.calls.run(image.flags) & broken
    )


def _extents(
    cluster: rbd_cluster.Cluster,
    image: rbd_cluster.Image,
    since: str | None,
    run: Run,
    is_whole: bool,
) -> list[base.Extent]:
    """What librbd says of a window, sorted, neighbours of a kind as one.

    :raises: ExtentsInvalid
    """
    found = _find(cluster, image, since, run, is_whole, is_whole)
    if not len(found):
        return []
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
    return [
        base.Extent(start, end - start, _DATA if exists else _HOLE)
        for start, end, exists in zip(
            offsets[firsts].tolist(),
            ends[lasts].tolist(),
            kinds[firsts].tolist(),
            strict=True,
        )
    ]


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
