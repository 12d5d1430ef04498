# SPDX-License-Identifier: Apache-2.0
"""From a tree in the repository to a volume.

What is known to read as zeros is not written; on a volume that holds other
content only what differs is written: its chunks are read and hashed where the
image has data, and tested for zeros where the image has a hole. Every chunk
is verified against its id before a byte of it reaches the volume.
"""

from collections.abc import Iterator

from ebackup_service.engine import control as job_control
from ebackup_service.engine import crew as engine_crew
from ebackup_service.engine import places
from ebackup_service.engine import progress as job_progress
from ebackup_service.engine import restore_leaf
from ebackup_service.production import base as production
from ebackup_service.production import errors
from ebackup_service.repository import opened
from ebackup_service.repository import reader
from ebackup_service.repository import tree as repository_tree

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
) -> dict[str, int]:
    """Make the target's first tree.size bytes those of the image, durably.

    What is behind them, on a target that is larger, stays as it is.

    :param volume_is_new: nothing on it is worth comparing with
    :param workers: number of threads
    :param share: bounds how many of them work at a time
    :returns: statistics, name -> number
    :raises: ProductionError, RepositoryError, JobStopped; the target then
        holds a mixture
    """
    if target.size < tree.size:
        raise errors.SizeMismatch(
            f'the volume has {target.size} bytes, the image {tree.size}: '
            'restore to a volume at least as large'
        )
    if target.truncated:
        mode = restore_leaf.Mode.EMPTY
    elif volume_is_new:
        mode = restore_leaf.Mode.NEW
    else:
        mode = restore_leaf.Mode.IN_PLACE
    job = restore_leaf.Job(
        tree,
        target,
        mode,
        repo.hasher(),
        engine_crew.Crew(control),
        engine_crew.Shared(_plan(tree, mode)),
        share or places.Places(workers).share(),
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
    tree: repository_tree.Tree, mode: restore_leaf.Mode
) -> Iterator[restore_leaf.LeafTask | restore_leaf.HoleTask]:
    span = tree.leaf_span
    step = tree.size if mode is restore_leaf.Mode.EMPTY else HOLE_SIZE
    position = 0
    for leaf in tree.leaves():
        yield from _holes(position, leaf * span, step)
        yield restore_leaf.LeafTask(leaf)
        position = (leaf + 1) * span
    yield from _holes(position, tree.size, step)


def _holes(start: int, end: int, step: int) -> Iterator[restore_leaf.HoleTask]:
    for position in range(start, end, max(step, 1)):
        yield restore_leaf.HoleTask(position, min(step, end - position))
