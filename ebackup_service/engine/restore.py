# SPDX-License-Identifier: Apache-2.0
"""From a tree in the repository to a volume.

What is known to read as zeros is not written; on a volume that holds other
content only what differs is written: its chunks are read and hashed where the
image has data, and tested for zeros where the image has a hole. Where it is
known what the volume holds, it is not even read. Every chunk is verified
against its id before a byte of it reaches the volume.
"""

from collections.abc import Iterator
import dataclasses

import numpy as np

from ebackup_service.engine import control as job_control
from ebackup_service.engine import crew as engine_crew
from ebackup_service.engine import lost as restore_lost
from ebackup_service.engine import places
from ebackup_service.engine import plan
from ebackup_service.engine import progress as job_progress
from ebackup_service.engine import restore_leaf
from ebackup_service.engine import runs
from ebackup_service.production import base as production
from ebackup_service.production import errors
from ebackup_service.repository import difference
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import opened
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import tree as repository_tree


@dataclasses.dataclass(frozen=True)
class Known:
    """What a target holds, without having been read.

    tree: what it held at some time
    source: of the target as it is now, that names what changed since
    """

    tree: repository_tree.Tree
    source: production.Source


# Bytes of a hole that a worker deals with at a time, so that it can stop.
HOLE_SIZE = 64 << 20


def run_restore(
    repo: opened.OpenRepository,
    tree: repository_tree.Tree,
    target: production.Target,
    volume_is_new: bool,
    workers: int,
    control: job_control.Control,
    progress: job_progress.Progress,
    share: places.Share | None = None,
    lost: restore_lost.Lost | None = None,
    known: Known | None = None,
) -> dict[str, int]:
    """Make the target's first tree.size bytes those of the image, durably.

    What is behind them, on a target that is larger, stays as it is.

    :param volume_is_new: nothing on it is worth comparing with
    :param workers: number of threads
    :param share: bounds how many of them work at a time
    :param lost: gets what can't be read, where the target gets zeros; None:
        that ends the restore
    :param known: of the same chunk size, of the target as it is; then it is
        not read, and what differs from that is written
    :returns: statistics, name -> number
    :raises: ProductionError, RepositoryError, JobStopped; the target then
        holds a mixture
    """
    if target.size < tree.size:
        raise errors.SizeMismatch(
            f'the volume has {target.size} bytes, the image {tree.size}: '
            'restore to a volume at least as large'
        )
    tasks: Iterator[restore_leaf.Task] | None = None
    if target.truncated:
        mode = restore_leaf.Mode.EMPTY
    elif volume_is_new:
        mode = restore_leaf.Mode.NEW
    else:
        mode = restore_leaf.Mode.IN_PLACE
        if known is not None:
            tasks = _differences(repo, tree, known)
    job = restore_leaf.Job(
        tree,
        target,
        mode,
        repo.hasher(),
        engine_crew.Crew(control),
        engine_crew.Shared(tasks or _plan(tree, mode, lost is not None)),
        share or places.Places(workers).share(),
        lost,
        None if known is None else known.tree,
    )
    crew = [
        restore_leaf.Worker(job, reader.ChunkReader(repo), progress.worker())
        for _ in range(workers)
    ]
    try:
        job.crew.run([one.run for one in crew])
    finally:
        for one in crew:
            one.close()
    control.check()
    target.flush()
    total = progress.total()
    return {
        name: total[name]
        for name in (
            'bytes_read',
            'bytes_written',
            'bytes_zeroed',
            'chunks_changed',
        )
    }


def _plan(
    tree: repository_tree.Tree, mode: restore_leaf.Mode, may_lose: bool
) -> Iterator[restore_leaf.Task]:
    span = tree.leaf_span
    step = tree.size if mode is restore_leaf.Mode.EMPTY else HOLE_SIZE
    position = 0
    lost: list[restore_leaf.LostTask] = []

    def lose(error: repository_errors.Corrupt, level: int, index: int) -> None:
        lost.append(
            restore_leaf.LostTask(*tree.geometry.covers(level, index), error)
        )

    def fill(end: int) -> Iterator[restore_leaf.Task]:
        """What is between the last leaf and the next."""
        begin = position
        for task in lost:
            yield from _holes(begin, task.offset, step)
            for offset, length in _pieces(task.offset, task.length):
                yield restore_leaf.LostTask(offset, length, task.error)
            begin = task.offset + task.length
        lost.clear()
        yield from _holes(begin, end, step)

    for leaf in tree.leaves(damaged=lose if may_lose else None):
        yield from fill(leaf * span)
        yield restore_leaf.LeafTask(leaf)
        position = (leaf + 1) * span
    yield from fill(tree.size)


def _differences(
    repo: opened.OpenRepository, tree: repository_tree.Tree, known: Known
) -> Iterator[restore_leaf.KnownTask]:
    """The leaves in which the target differs from the image, ascending."""
    source, size = known.source, known.source.size
    trusted = plan.trusted(size, known.tree.size, tree.chunk_size)
    claims = plan.tasks(
        plan.cover(source.extents(), size, source.gaps, trusted),
        *(size, tree.chunk_size, page.FANOUT),
    )
    holes = repository_tree.Tree(repo, None, tree.size, tree.chunk_size)
    present = runs.Ahead(difference.leaves(tree, holes))
    differ = runs.Ahead(difference.leaves(tree, known.tree))
    position = 0

    def task(leaf: int, changed: runs.Mask | None) -> restore_leaf.KnownTask:
        nonlocal position
        begin, position = position, min((leaf + 1) * tree.leaf_span, tree.size)
        return restore_leaf.KnownTask(leaf, changed, position - begin)

    for claim in claims:
        if plan.begin(claim) >= tree.geometry.leaves:
            return
        if isinstance(claim, plan.LeafTask):
            kinds = claim.kinds
            changed = None if kinds is None else kinds != plan.UNCHANGED
            yield task(claim.leaf, changed)
            continue
        stop = min(claim.stop, tree.geometry.leaves)
        if claim.kind is plan.HOLE:
            # It reads as zeros there, by now.
            for leaf in present.within(claim.start, stop):
                yield task(leaf, None)
        else:
            for leaf in differ.within(claim.start, stop):
                yield task(leaf, np.zeros(page.FANOUT, dtype=np.bool_))


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int]]:
    for position in range(offset, offset + length, HOLE_SIZE):
        yield position, min(HOLE_SIZE, offset + length - position)


def _holes(start: int, end: int, step: int) -> Iterator[restore_leaf.HoleTask]:
    for position in range(start, end, max(step, 1)):
        yield restore_leaf.HoleTask(position, min(step, end - position))
