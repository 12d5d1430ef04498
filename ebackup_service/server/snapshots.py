# SPDX-License-Identifier: Apache-2.0
"""Our snapshots on production storage: planned, kept as anchors, released.

Section "Snapshots on production storage" of the protocols has the rules.
"""

from collections.abc import Iterable
from typing import Any
import uuid

from oslo_config import cfg
from oslo_log import log
import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import service
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import proxies
from ebackup_service.server import refusals
from ebackup_service.server import volume_storages

LOG = log.getLogger(__name__)

# How many one job removes.
_BATCH = 100
# Seconds until nobody can take a snapshot any more that he had planned: longer
# than any request to a storage lasts.
_GRACE = 3600.0
# Seconds after which a removal that failed is tried again: doubled each time.
_RETRY = 60.0
_LONGEST_RETRY = 3600.0

_OURS = (snapshot_rows.PLANNED, snapshot_rows.TAKEN)

_FENCED = messages.Plan(accepted=False)


@database.retried
def plan(
    catalog: database.Catalog, job_id: str, token: int, lun: str
) -> messages.Plan:
    """Record a snapshot that a backup is about to take, and name it.

    :param lun: key of the volume's LUN
    """
    with catalog.writer() as session:
        job = job_rows.locked(session, job_id)
        if job is None or not _holds(session, job, token):
            return _FENCED
        image = job.image_id and image_rows.get(session, job.image_id)
        storage = volume_storages.of_job(session, job)
        if not image or not storage or image.chain_id is None:
            return _FENCED
        # Who knows the LUN has been let in.
        refusals.admitted(session, storage, job)
        # What Cinder's own driver for RBD calls those of its backups: it
        # removes them when the volume is deleted.
        instant = clock.read(session) / 1000
        name = f'backup.{image.id}.snap.{instant:.3f}{token:03}'
        snapshot_rows.insert(
            session,
            id=str(uuid.uuid4()),
            storage_id=storage.id,
            repository_id=job.repository_id,
            chain_id=image.chain_id,
            image_id=image.id,
            job_id=job.id,
            volume=reference(image.volume),
            lun=lun,
            name=name,
        )
        return messages.Plan(accepted=True, name=name)


@database.retried
def taken(
    catalog: database.Catalog,
    job_id: str,
    token: int,
    name: str,
    snapshot_id: str,
) -> messages.Decision:
    """Record that a planned snapshot exists. May be repeated.

    What a proxy says that no longer holds the job is noted, so that the
    snapshot can be removed at once, and refused.
    """
    with catalog.writer() as session:
        job = job_rows.locked(session, job_id)
        held = job is not None and _holds(session, job, token)
        of_name = (
            models.Snapshot.job_id == job_id,
            models.Snapshot.name == name,
        )
        if held:
            moved = snapshot_rows.move(
                session,
                _OURS,
                *of_name,
                state=snapshot_rows.TAKEN,
                snapshot_id=snapshot_id,
            )
            if moved:
                return messages.Decision(accepted=True)
        snapshot_rows.move(
            session,
            (snapshot_rows.PLANNED, snapshot_rows.CONDEMNED),
            *of_name,
            snapshot_id=snapshot_id,
            release_after=clock.now(),
        )
    return messages.Decision(
        accepted=False, reason='The proxy no longer holds the job.'
    )


def _holds(session: orm.Session, job: job_rows.Job, token: int) -> bool:
    return (
        job.kind == job_rows.BACKUP
        and job.state == job_rows.RUNNING
        and job.token == token
        and job.cancel_reason is None
        and (job.lease_until or 0) > clock.read(session)
    )


def given(
    session: orm.Session, job: job_rows.Job
) -> messages.SnapshotSpec | None:
    """What an earlier run of a backup has taken, for the next one.

    What one has only planned is condemned: nobody knows whether it exists.
    """
    snapshot_rows.condemn(
        session,
        (snapshot_rows.PLANNED,),
        _GRACE,
        models.Snapshot.job_id == job.id,
    )
    for row in snapshot_rows.find(
        session, job_id=job.id, state=snapshot_rows.TAKEN
    ):
        return _spec(row)
    return None


def anchor(
    session: orm.Session, chain_id: int, storage_id: str
) -> snapshot_rows.Snapshot | None:
    """The chain's anchor, if it has one on that storage.

    One on another is of another LUN, though that may have the same key.
    """
    for row in snapshot_rows.find(
        session,
        chain_id=chain_id,
        storage_id=storage_id,
        state=snapshot_rows.ANCHOR,
    ):
        return row
    return None


def anchor_of(
    session: orm.Session,
    chain_id: int,
    storage_id: str,
    image_id: str,
) -> messages.SnapshotSpec | None:
    """The chain's anchor on that storage, if it is of that image."""
    row = anchor(session, chain_id, storage_id)
    if row is None or row.image_id != image_id:
        return None
    return _spec(row)


def anchors_of_volume(
    session: orm.Session, volume_id: str, storage_id: str
) -> list[tuple[str, messages.SnapshotSpec]]:
    """Those on a storage of all a volume's chains, with their images' ids."""
    rows = snapshot_rows.find(
        session,
        _of_volumes([volume_id]),
        storage_id=storage_id,
        state=snapshot_rows.ANCHOR,
    )
    return [(row.image_id, _spec(row)) for row in reversed(rows)]


def _spec(row: snapshot_rows.Snapshot) -> messages.SnapshotSpec:
    assert row.snapshot_id is not None
    return messages.SnapshotSpec(row.lun, row.name, row.snapshot_id)


def settle(session: orm.Session, job: job_rows.Job) -> None:
    """Let go of what a backup that came to nothing has taken."""
    snapshot_rows.condemn(
        session,
        _OURS,
        _GRACE,
        models.Snapshot.job_id == job.id,
    )


def keep(
    session: orm.Session, job: job_rows.Job, result: dict[str, Any]
) -> None:
    """Make what a backup has taken the anchor of its chain.

    In the transaction in which its image becomes available. Of a backup that
    should have ended before, maybe since its volume was emptied, none stays;
    nor one that may still cost more than an anchor does.
    """
    for row in snapshot_rows.find(
        session, job_id=job.id, state=snapshot_rows.TAKEN
    ):
        storage = storage_rows.get(session, row.storage_id)
        if storage is None or not storage.anchors or job.cancel_reason:
            continue
        light = volume_storages.capabilities(storage).light_anchors
        if light and not result.get('reduced'):
            continue
        snapshot_rows.condemn(
            session,
            (snapshot_rows.ANCHOR,),
            0,
            models.Snapshot.chain_id == row.chain_id,
        )
        snapshot_rows.move(
            session,
            (snapshot_rows.TAKEN,),
            models.Snapshot.id == row.id,
            state=snapshot_rows.ANCHOR,
        )
    settle(session, job)


def forsake(session: orm.Session, image_id: str) -> None:
    """Let the anchor go that belongs to an image which is being deleted."""
    snapshot_rows.condemn(
        session,
        (snapshot_rows.ANCHOR,),
        0,
        models.Snapshot.image_id == image_id,
    )


def forsake_volume(session: orm.Session, volume_id: str) -> None:
    """Let the anchors go of all chains of a volume."""
    snapshot_rows.condemn(
        session, (snapshot_rows.ANCHOR,), 0, _of_volumes([volume_id])
    )


def _of_volumes(volume_ids: Iterable[str]) -> sa.ColumnElement[bool]:
    return models.Snapshot.chain_id.in_(
        sa.select(models.Chain.id).where(
            models.Chain.volume_id.in_([*volume_ids])
        )
    )


@database.retried
def schedule(catalog: database.Catalog, conf: cfg.ConfigOpts) -> None:
    """Begin to remove what is condemned and may be removed now."""
    with catalog.reader() as session:
        if not proxies.any_alive(session, conf) or not _due(session):
            return
    with catalog.writer() as session:
        service.lock(session)
        for (storage_id, repository_id), ids in _due(session).items():
            job_rows.insert(
                session,
                id=str(uuid.uuid4()),
                kind=job_rows.RELEASE,
                repository_id=repository_id,
                parameters={'storage': storage_id, 'snapshots': ids},
                ready_at=clock.now(),
            )


def _due(session: orm.Session) -> dict[tuple[str, str], list[str]]:
    """What is to be removed, by storage and repository.

    Nothing of a volume that is just backed up, or restored to: its snapshots
    are compared with all the time. Nor of a storage that has just refused its
    credentials.
    """
    resting = refusals.resting(session)
    unfinished = job_rows.unfinished(session)
    busy = {
        (job.parameters['storage'], job.repository_id)
        for job in unfinished
        if job.kind == job_rows.RELEASE
    }
    used = [
        job.volume_id
        for job in unfinished
        if job.kind in job_rows.DATA_KINDS and job.volume_id is not None
    ]
    due = {}
    for storage_id, repository_id in snapshot_rows.releasing(session):
        if (storage_id, repository_id) in busy:
            continue
        if storage_id in resting and refusals.everywhere(resting[storage_id]):
            continue
        rows = snapshot_rows.releasable(
            session,
            _BATCH,
            sa.not_(_of_volumes(used)),
            storage_id=storage_id,
            repository_id=repository_id,
        )
        if rows:
            due[storage_id, repository_id] = [row.id for row in rows]
    return due


def to_release(
    session: orm.Session, job: job_rows.Job
) -> list[messages.ReleaseSpec]:
    """What a job of that kind removes."""
    if job.kind != job_rows.RELEASE:
        return []
    rows = snapshot_rows.find(
        session,
        models.Snapshot.id.in_(job.parameters['snapshots']),
        state=snapshot_rows.CONDEMNED,
    )
    return [
        messages.ReleaseSpec(
            id=row.id,
            volume=messages.VolumeSpec.from_dict(row.volume),
            lun=row.lun,
            name=row.name,
            snapshot_id=row.snapshot_id,
        )
        for row in rows
    ]


def conclude(
    session: orm.Session, job: job_rows.Job, result: dict[str, Any]
) -> None:
    """Forget what a job has removed; the others are tried again."""
    asked = set(job.parameters['snapshots'])
    gone = asked & set(result.get('released', ()))
    snapshot_rows.remove(session, gone)
    postpone(session, asked - gone)


def postpone(session: orm.Session, ids: Iterable[str]) -> None:
    """Try again later, and later still the more often it has failed."""
    for row in snapshot_rows.find(session, models.Snapshot.id.in_([*ids])):
        pause = min(_RETRY * 2 ** min(row.failures, 10), _LONGEST_RETRY)
        snapshot_rows.move(
            session,
            (snapshot_rows.CONDEMNED,),
            models.Snapshot.id == row.id,
            failures=row.failures + 1,
            release_after=clock.now() + clock.milliseconds(pause),
        )


def reference(volume: dict[str, Any]) -> dict[str, Any]:
    """What finds a volume on its storage, of what the driver says of it."""
    snapshot = volume.get('snapshot')
    if snapshot is not None:
        snapshot = {
            key: snapshot.get(key)
            for key in ('id', 'name', 'provider_location')
        }
    return {
        'id': volume['id'],
        'name': volume.get('backend_name'),
        'host': volume.get('host'),
        'provider_location': volume.get('provider_location'),
        'in_use': bool(volume.get('in_use')),
        'snapshot': snapshot,
    }
