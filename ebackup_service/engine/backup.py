# SPDX-License-Identifier: Apache-2.0
"""From a source's extents to a tree in the repository.

Each worker thread does everything for one leaf before it takes the next one:
read, test for zeros, hash, compare with the base, compress, append. It has its
own buffer, codec and open pack, so the data path takes no lock: those that
remain are taken once a leaf, to get it, and to hand its page over. The thread
that runs the backup makes the checkpoints meanwhile.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import functools

from ebackup_service.engine import backup_leaf
from ebackup_service.engine import control as job_control
from ebackup_service.engine import crew as engine_crew
from ebackup_service.engine import places
from ebackup_service.engine import plan
from ebackup_service.engine import progress as job_progress
from ebackup_service.engine import stages
from ebackup_service.production import base as production
from ebackup_service.repository import extents
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import page
from ebackup_service.repository import session as repository_session
from ebackup_service.repository import tree as repository_tree

# Bytes read between two checkpoints, at most.
STAGE_SIZE = 1 << 30


@dataclasses.dataclass(frozen=True)
class BackupResult:
    """What a root needs to know of the data.

    tree: where the image's tree is; None: it holds nothing but zeros
    statistics: name -> number, for the root and the job
    """

    tree: location.Locator | None
    statistics: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """How far a backup is; what it names is durable.

    tree: where the tree of all leaves before ``leaf`` is; None: all holes
    leaf: the first leaf that is still to be dealt with
    total: counters so far, as Progress.total() gives them
    """

    tree: location.Locator | None
    leaf: int
    total: dict[str, int]


def run_backup(
    source: production.Source,
    repo: opened.OpenRepository,
    session: repository_session.Session,
    base: repository_tree.Tree | None,
    chunk_size: int,
    workers: int,
    control: job_control.Control,
    progress: job_progress.Progress,
    begun: Checkpoint | None = None,
    checkpointed: Callable[[Checkpoint], None] = lambda checkpoint: None,
    stage_size: int = STAGE_SIZE,
    share: places.Share | None = None,
    damaged: extents.Extents | None = None,
) -> BackupResult:
    """Store what the base doesn't hold.

    All data is durable afterwards, all pages when the session's candidate is.

    When stage_size bytes were read (or one leaf, if that is more), what was
    made of them is made durable, the source confirms it, and ``checkpointed``
    is told, while the workers go on. Until that is done they do a leaf each
    of the next stage at most: whoever goes on from a checkpoint reads a stage
    and these leaves again. A job that is to wind down ends soon, with a
    checkpoint behind all that was read.

    :param base: tree of the chain's last image, of the same chunk size; its
        volume may have had another size
    :param workers: number of threads
    :param share: bounds how many of them work at a time
    :param begun: where an earlier run of the session, on the same volume,
        base and chunk size, has come to
    :param damaged: what of the base must not be taken over, and is read from
        the source and stored again
    :raises: ProductionError, RepositoryError, JobStopped, and what
        checkpointed raises
    """
    if base is not None and base.chunk_size != chunk_size:
        raise ValueError('the base has another chunk size')
    begun = begun or Checkpoint(None, 0, {})
    damaged = damaged or extents.Extents()
    progress.go_on(begun.total)
    work = plan.after(_plan(source, base, chunk_size, damaged), begun.leaf)
    job = backup_leaf.Job(
        source,
        base,
        session.tree(source.size, chunk_size, base, begun.tree),
        repo.hasher(),
        chunk_size,
        engine_crew.Crew(control),
        share or places.Places(workers).share(),
        stages.Handout(
            work, stage_size // chunk_size, page.FANOUT, control, begun.leaf
        ),
        damaged,
    )
    crew = [
        backup_leaf.Worker(job, session.writer(), progress.worker())
        for _ in range(workers)
    ]
    try:
        job.crew.run(
            [one.run for one in crew],
            functools.partial(
                _make_checkpoints, job, session, begun.total, checkpointed
            ),
        )
    finally:
        for one in crew:
            one.close()
    control.check()
    if job.handout.reached < job.target.geometry.leaves:
        control.check_wound_down()
        raise RuntimeError(
            f'leaves from {job.handout.reached} on were given to nobody'
        )
    source.confirm()
    locator = job.target.finish()
    total = progress.total()
    return BackupResult(
        locator,
        {
            'bytes_read': total['bytes_read'],
            'bytes_reread': total['bytes_reread'],
            'bytes_stored': total['bytes_stored'],
            'chunks_total': -(-source.size // chunk_size),
            'chunks_changed': total['chunks_changed'],
            'chunks_stored': total['chunks_stored'],
            'chunks_zero': total['chunks_zero'],
        },
    )


def _make_checkpoints(
    job: backup_leaf.Job,
    session: repository_session.Session,
    total: Mapping[str, int],
    checkpointed: Callable[[Checkpoint], None],
) -> None:
    """One behind each stage, as they end; none behind the last one.

    :param total: counters that the job has begun with
    """
    counted = collections.Counter(total)
    for stage in job.handout.follow(job.crew.check):
        job.crew.check()
        counted.update(stage.total)
        if stage.end < job.target.geometry.leaves:
            tree = job.target.checkpoint()
            session.flush_pages()
            job.source.confirm()
            checkpointed(Checkpoint(tree, stage.end, dict(counted)))
            job.handout.noted(stage)


def _plan(
    source: production.Source,
    base: repository_tree.Tree | None,
    chunk_size: int,
    damaged: extents.Extents,
) -> Iterator[plan.LeafTask | plan.SkipTask]:
    runs = plan.cover(
        source.extents(),
        source.size,
        source.gaps,
        plan.trusted(
            source.size, None if base is None else base.size, chunk_size
        ),
        damaged,
    )
    return plan.tasks(runs, source.size, chunk_size, page.FANOUT)
