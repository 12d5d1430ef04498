# SPDX-License-Identifier: Apache-2.0
"""From a source's extents to a tree in the repository.

Each worker thread does everything for one leaf before it takes the next one:
read, test for zeros, hash, compare with the base, compress, append. It has its
own buffer, codec and open pack, so the data path takes no lock: two locks
remain, each taken once a leaf (to get it, and to hand its page over).
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import functools

from ebackup_service.engine import backup_leaf
from ebackup_service.engine import control as job_control
from ebackup_service.engine import crew as engine_crew
from ebackup_service.engine import places
from ebackup_service.engine import plan
from ebackup_service.engine import progress as job_progress
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

    Before more than stage_size bytes were read (or one leaf, if that is more)
    the workers wait for each other, what they have is made durable, and
    ``checkpointed`` is told: whoever goes on from there reads at most that
    much again. So they do, soon, when the job is to wind down, which ends
    there.

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
    job = backup_leaf.Job(
        source,
        base,
        session.tree(source.size, chunk_size, base, begun.tree),
        repo.hasher(),
        chunk_size,
        engine_crew.Crew(control),
        share or places.Places(workers).share(),
        damaged,
    )
    crew = [
        backup_leaf.Worker(job, session.writer(), progress.worker())
        for _ in range(workers)
    ]
    work = plan.after(_plan(source, base, chunk_size, damaged), begun.leaf)
    try:
        for stage in plan.stages(work, stage_size, chunk_size, page.FANOUT):
            handout = _Handout(stage, control)
            tasks = engine_crew.Shared(handout)
            job.crew.run([functools.partial(one.run, tasks) for one in crew])
            control.check()
            if handout.end < job.target.geometry.leaves:
                locator = job.target.checkpoint()
                session.flush()
                checkpointed(
                    Checkpoint(locator, handout.end, progress.total())
                )
                control.check_wound_down()
    finally:
        for one in crew:
            one.close()
    control.check()
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


class _Handout:
    """The tasks of a stage, as long as the job isn't to wind down.

    :ivar end: the first leaf that is not done when those are that were given
    """

    def __init__(
        self, stage: plan.Stage, control: job_control.Control
    ) -> None:
        self.end = stage.end
        self._tasks = stage.tasks
        self._control = control

    def __iter__(self) -> Iterator[backup_leaf.Task]:
        for task in self._tasks:
            if self._control.winding_down:
                self.end = plan.begin(task)
                return
            yield task


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
