# SPDX-License-Identifier: Apache-2.0
"""Turns what a source says of its extents into work, leaf by leaf.

A chunk is what an extent says of it only if that extent covers it whole; a
chunk that extents of two kinds share is read. Nothing here is proportional to
the volume: holes and unchanged ranges of any size are one step.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from typing import NamedTuple
from typing import TypeAlias

import numpy as np
from numpy import typing as npt

from ebackup_service.engine import runs
from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.repository import extents

DATA = base.ExtentKind.DATA
HOLE = base.ExtentKind.HOLE
UNCHANGED = base.ExtentKind.UNCHANGED

# the ExtentKind of each of some chunks
Kinds: TypeAlias = npt.NDArray[np.uint8]

_NOTHING = extents.Extents()


class LeafTask(NamedTuple):
    """One leaf in which something has to be read.

    kinds: the ExtentKind of each of its chunks; None: all are DATA
    """

    leaf: int
    kinds: Kinds | None


class SkipTask(NamedTuple):
    """The leaves start to stop - 1, of which nothing has to be read.

    kind: HOLE or UNCHANGED
    """

    start: int
    stop: int
    kind: base.ExtentKind


class Run(NamedTuple):
    start: int
    end: int
    kind: base.ExtentKind


def cover(
    extents: Iterable[base.Extent],
    size: int,
    gaps: base.ExtentKind,
    trusted: int,
    damaged: extents.Extents = _NOTHING,
) -> Iterator[Run]:
    """The whole volume as runs, each as long as its kind goes on.

    :param gaps: the kind of what no extent names
    :param trusted: bytes from the start up to which UNCHANGED means something;
        beyond, there is nothing that it could be unchanged from
    :param damaged: where it means nothing either
    :raises: ExtentsInvalid
    """
    run = Run(0, 0, DATA)
    for piece in _pieces(extents, size, gaps):
        for part in _distrust(piece, trusted, damaged):
            if part.kind == run.kind:
                run = Run(run.start, part.end, run.kind)
                continue
            if run.start < run.end:
                yield run
            run = part
    if run.start < run.end:
        yield run


def trusted(size: int, base_size: int | None, chunk_size: int) -> int:
    """Up to which byte "unchanged" says that the base holds it.

    The base's last chunk is another one if the volume has grown beyond it. Of
    a volume that shrunk, nobody knows what a difference means.

    :param size: of the volume
    :param base_size: None: there is no base
    """
    if base_size is None or base_size > size:
        return 0
    if base_size == size:
        return size
    return base_size // chunk_size * chunk_size


def tasks(
    cover: Iterable[Run], size: int, chunk_size: int, leaf_chunks: int
) -> Iterator[LeafTask | SkipTask]:
    """Work in the order of the volume.

    :param cover: as cover() yields them
    :param leaf_chunks: chunks of a leaf
    """
    span = chunk_size * leaf_chunks
    kinds: Kinds | None = None
    for start, end, kind in cover:
        while start < end:
            leaf = start // span
            leaf_start = leaf * span
            leaf_end = min(leaf_start + span, size)
            if start == leaf_start and end >= leaf_end:
                stop = -(-size // span) if end == size else end // span
                if kind == DATA:
                    for index in range(leaf, stop):
                        yield LeafTask(index, None)
                else:
                    yield SkipTask(leaf, stop, kind)
                start = min(stop * span, size)
                continue
            if kinds is None:
                count = -(-(leaf_end - leaf_start) // chunk_size)
                kinds = np.full(count, DATA, dtype=np.uint8)
            piece_end = min(end, leaf_end)
            first = -(-(start - leaf_start) // chunk_size)
            if piece_end == leaf_end:
                kinds[first:] = kind  # a shorter last chunk is whole, too
                yield LeafTask(leaf, kinds)
                kinds = None
            else:
                kinds[first : (piece_end - leaf_start) // chunk_size] = kind
            start = piece_end


def after(
    work: Iterable[LeafTask | SkipTask], leaf: int
) -> Iterator[LeafTask | SkipTask]:
    """The work of the leaves from a given one on."""
    for task in work:
        if isinstance(task, LeafTask):
            if task.leaf >= leaf:
                yield task
        elif task.stop > leaf:
            yield task._replace(start=max(task.start, leaf))


def weight(task: LeafTask | SkipTask, leaf_chunks: int) -> int:
    """Chunks that are read; at least one, so that nothing is endless."""
    if isinstance(task, SkipTask):
        return 1
    if task.kinds is None:
        return leaf_chunks
    return max(int((task.kinds == DATA).sum()), 1)


def begin(task: LeafTask | SkipTask) -> int:
    """The task's first leaf."""
    return task.leaf if isinstance(task, LeafTask) else task.start


def end(task: LeafTask | SkipTask) -> int:
    """The first leaf behind the task."""
    return task.leaf + 1 if isinstance(task, LeafTask) else task.stop


def reading_all(task: LeafTask) -> LeafTask:
    """The same for a base that doesn't have the leaf."""
    if task.kinds is None:
        return task
    kinds = task.kinds.copy()
    kinds[kinds == UNCHANGED] = DATA
    return task._replace(kinds=kinds)


def unchanged(leaf: int, count: int) -> LeafTask:
    """A leaf of count chunks of which nothing has changed."""
    return LeafTask(leaf, np.full(count, UNCHANGED, dtype=np.uint8))


def to_read(task: LeafTask, count: int) -> runs.Mask:
    """Which of the leaf's first count chunks are to be read."""
    if task.kinds is None:
        return np.ones(count, dtype=np.bool_)
    mask: runs.Mask = task.kinds == DATA
    return mask


def _pieces(
    extents: Iterable[base.Extent], size: int, gaps: base.ExtentKind
) -> Iterator[Run]:
    position = 0
    for offset, length, kind in extents:
        if offset < position or length < 0 or offset + length > size:
            raise errors.ExtentsInvalid(
                f'the source named {length} bytes at {offset} after '
                f'{position}, of {size}: extents must be sorted, inside the '
                'volume, and must not overlap'
            )
        if offset > position:
            yield Run(position, offset, gaps)
        position = offset + length
        if length:
            yield Run(offset, position, kind)
    if position < size:
        yield Run(position, size, gaps)


def _distrust(
    run: Run, trusted: int, damaged: extents.Extents
) -> Iterator[Run]:
    if run.kind != UNCHANGED:
        yield run
        return
    position = run.start
    end = max(min(run.end, trusted), run.start)
    for offset, length in damaged.within(run.start, end):
        if position < offset:
            yield Run(position, offset, UNCHANGED)
        yield Run(offset, offset + length, DATA)
        position = offset + length
    if position < end:
        yield Run(position, end, UNCHANGED)
    if end < run.end:
        yield Run(end, run.end, DATA)
