# SPDX-License-Identifier: Apache-2.0
"""What a backup reads: the volume, or which snapshot of it, and how much.

Of a storage with snapshots a snapshot is read: Cinder's if that is what is
backed up, or one that is taken now, which the catalog knows before it exists.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
from typing import TypeVar

from oslo_log import log

from ebackup_service.engine import control as job_control
from ebackup_service.engine import shadow
from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.production import registry
from ebackup_service.proxy import errors
from ebackup_service.proxy import patience
from ebackup_service.proxy import task as proxy_task
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)

T = TypeVar('T')

# Of a storage's trust: see messages.StorageSpec.
SHADOW = 'shadow'
# How it was found out what has changed: see notes of the task.
NAMED = 'named'
COMPARED = 'compared'
# What a storage says that can't be, or can't say any more.
IMPOSSIBLE = (
    production_errors.DifferenceUnavailable,
    production_errors.ExtentsInvalid,
)


@dataclasses.dataclass(frozen=True)
class Opened:
    """What a backup reads.

    claims: what would be read if the storage's word were trusted; None: it is
    passing: another run of the job may find another instant of the volume
    """

    source: production.Source
    passing: bool
    claims: production.Source | None = None


@contextlib.contextmanager
def opened(
    task: proxy_task.Task, base: messages.TreeSpec | None, of_snapshot: bool
) -> Iterator[Opened]:
    """Open what the backup reads; the task's notes tell how.

    :param base: the image that it builds upon, and that the storage may know
        the difference to
    :param of_snapshot: whether the base is of a snapshot of Cinder's
    :raises: ProductionError, JobStopped, Fenced
    """
    with task.lun() as (storage, lun):
        snapshot = _snapshot(task, storage, lun)
        passing = storage.capabilities.point_in_time
        with contextlib.closing(
            _open(task, storage, lun, snapshot, base, of_snapshot)
        ) as source:
            if task.reads_all is not None:
                task.notes['extents_reason'] = task.reads_all
                yield Opened(shadow.Whole(source), passing)
                return
            if task.spec.storage is None or task.spec.storage.trust != SHADOW:
                yield Opened(source, passing)
                return
            with contextlib.closing(
                lun.open_source(task.image.size, snapshot)
            ) as all_of_it:
                yield Opened(shadow.Whole(all_of_it), passing, source)


def in_doubt_again(task: proxy_task.Task, work: Callable[[], T]) -> T:
    """Do it; again if the storage says impossible things.

    Of changes: then all that is allocated is read and compared. Of what is
    allocated: then a backup reads all of the volume.
    """
    while True:
        try:
            return work()
        except IMPOSSIBLE as error:
            if not _believes_less(task, error):
                raise


def _believes_less(
    task: proxy_task.Task, error: production_errors.ProductionError
) -> bool:
    """Whether there was anything left to be believed no more."""
    what = 'compares'
    if task.notes.get('changes') != NAMED:
        if (
            not isinstance(error, production_errors.ExtentsInvalid)
            or task.spec.target is not None
            or task.reads_all is not None
        ):
            return False
        what, task.reads_all = 'reads', str(error)
    task.doubt = task.notes.get('changes_reason', str(error))
    task.notes = {}
    LOG.warning(
        'Job %s begins again, and %s all of its volume: %s',
        task.spec.id,
        what,
        error,
    )
    return True


def disbelieve(
    task: proxy_task.Task, error: production_errors.ProductionError
) -> None:
    """Note why what the storage says was of no use to a job that needs none.

    That it was in shadow mode: the image is right.
    """
    if task.notes.get('changes') == NAMED:
        task.notes = {'changes': COMPARED, 'changes_reason': str(error)}
    else:
        task.notes['extents_reason'] = str(error)


def leave(task: proxy_task.Task) -> None:
    """Let the snapshot that was read cost no more than an anchor does.

    Only what the task's notes say was reduced becomes an anchor: what was not
    may fill up the storage, and is removed by the server.
    """
    storage, known = task.spec.storage, task.spec.snapshot
    snapshot = task.taken
    if snapshot is None and known is not None:
        snapshot = production.Snapshot(known.snapshot_id, known.name)
    if snapshot is None or storage is None or not storage.anchors:
        return
    try:
        # Of the kind, since nobody has to connect to a storage for that.
        kind = registry.storage_class(storage.kind)
        if not kind.capabilities.light_anchors:
            return
        with task.lun() as (_, lun):
            lun.reduce_to_anchor(snapshot)
        task.notes['reduced'] = True
    except (
        production_errors.ProductionError,
        job_control.JobStopped,
    ) as error:
        LOG.warning(
            'Snapshot %s of job %s can not be an anchor: %s',
            snapshot.name,
            task.spec.id,
            error,
        )


def _snapshot(
    task: proxy_task.Task,
    storage: production.ProductionStorage,
    lun: production.Lun,
) -> production.Snapshot | None:
    if lun.given is not None:
        return lun.given
    can = storage.capabilities
    if not can.snapshots:
        # Of a volume in use Cinder exports a snapshot, or a clone.
        if not can.exported and not can.point_in_time:
            _check_still(task)
        return None
    known = task.spec.snapshot
    if known is None and task.taken is not None:
        return task.taken
    if known is None:
        task.taken = _take(task, lun)
        return task.taken
    if known.lun != lun.key:
        raise production_errors.SnapshotUnknown(
            f'volume {task.image.volume_id} was replaced while it was backed '
            'up: back it up again'
        )
    return production.Snapshot(known.snapshot_id, known.name)


def _check_still(task: proxy_task.Task) -> None:
    """Refuse to read a volume itself that somebody writes to."""
    volume = task.spec.volume
    if volume is not None and volume.in_use:
        raise production_errors.VolumeInUse(
            f'volume {volume.id} is in use, and its storage takes no '
            'snapshots: back up a snapshot of Cinder, or detach it'
        )


def _take(task: proxy_task.Task, lun: production.Lun) -> production.Snapshot:
    spec = task.spec
    plan = patience.until_answered(
        task,
        lambda: task.server.plan_snapshot(spec.id, spec.token, lun.key),
    )
    if not plan.accepted:
        raise errors.Fenced(f'The server refused a snapshot for job {spec.id}')
    task.control.check()
    snapshot = lun.take_snapshot(plan.name)
    LOG.info('Job %s has taken snapshot %s', spec.id, snapshot.name)
    asked = 0

    def tell() -> messages.Decision:
        nonlocal asked
        asked += 1
        return task.server.snapshot_taken(
            spec.id, spec.token, snapshot.name, snapshot.id
        )

    # Asked again after a lost answer it is the same snapshot.
    decision = patience.until_answered(task, tell)
    if not decision.accepted:
        if asked == 1:
            # Else it may have been accepted, and another run may read it.
            _drop(task, lun.key, snapshot)
        raise errors.Fenced(
            f'The server refused the snapshot of job {spec.id}: '
            f'{decision.reason}'
        )
    return snapshot


def _drop(
    task: proxy_task.Task, key: str, snapshot: production.Snapshot
) -> None:
    """Remove what was refused; its row may be gone if this proxy was paused.

    Also if the job has to stop, which is why it was refused.
    """
    volume = task.spec.volume
    assert volume is not None
    reference = proxy_task.reference(volume, of_snapshot=False)
    try:
        with task.storage(production.no_check) as storage:
            found = storage.find_kept(reference, key)
            if found is not None:
                with contextlib.closing(found) as lun:
                    lun.drop_snapshot(snapshot)
    except production_errors.ProductionError as error:
        LOG.warning(
            'Snapshot %s of volume %s was refused, and stays: %s',
            snapshot.name,
            volume.id,
            error,
        )


def _open(
    task: proxy_task.Task,
    storage: production.ProductionStorage,
    lun: production.Lun,
    snapshot: production.Snapshot | None,
    base: messages.TreeSpec | None,
    of_snapshot: bool,
) -> production.Source:
    size = task.image.size
    if base is None or not storage.capabilities.changed_extents:
        return lun.open_source(size, snapshot)
    try:
        known = _since(task, storage, lun, base, of_snapshot)
        opened = lun.open_source(size, snapshot, known)
    except production_errors.DifferenceUnavailable as error:
        LOG.info('Job %s compares all of its volume: %s', task.spec.id, error)
        task.notes = {'changes': COMPARED, 'changes_reason': str(error)}
        return lun.open_source(size, snapshot)
    task.notes = {'changes': NAMED}
    return opened


def _since(
    task: proxy_task.Task,
    storage: production.ProductionStorage,
    lun: production.Lun,
    base: messages.TreeSpec,
    of_snapshot: bool,
) -> production.Snapshot:
    """What the storage has of the base; of one without snapshots its name.

    There somebody else remembers what changes, and calls that by the image.
    Where Cinder's snapshots are not known, that begins when the backup has
    ended, and what was written since the snapshot is missing.
    """
    if storage.capabilities.snapshots or task.doubt is not None:
        return since(task, lun)
    registered = task.spec.storage is not None
    if (
        registered
        and of_snapshot
        and not storage.capabilities.cinder_snapshots
    ):
        raise production_errors.DifferenceUnavailable(
            f'image {base.image_id} is of a snapshot of Cinder: nobody can '
            'have counted what was written since'
        )
    return production.Snapshot(base.image_id, base.image_id)


def since(task: proxy_task.Task, lun: production.Lun) -> production.Snapshot:
    """The job's anchor.

    :raises DifferenceUnavailable: the storage has nothing of the base
    """
    if task.doubt is not None:
        raise production_errors.DifferenceUnavailable(task.doubt)
    anchor = task.spec.anchor
    if anchor is None:
        raise production_errors.DifferenceUnavailable(
            'no snapshot of the last image was left on the storage'
        )
    if anchor.lun != lun.key:
        raise production_errors.DifferenceUnavailable(
            'the volume is not the one that the last image was made of: it '
            'was replaced, retyped or migrated'
        )
    return production.Snapshot(anchor.snapshot_id, anchor.name)
