# SPDX-License-Identifier: Apache-2.0
"""Which jobs may meet at one volume: many backups, or one restore.

A restore that waits for a driver which has been silent for
``heartbeat_timeout`` gives way: Cinder gives nobody a volume while it restores
to it.
"""

from oslo_config import cfg
from sqlalchemy import orm

from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import snapshots


@database.retried
def forsake_anchors(
    catalog: database.Catalog, volume_id: str, emptied: bool = False
) -> None:
    """Believe no storage any more in what has changed of a volume.

    Nothing is left of what was in it, and its storage may know nothing of
    that. Backups of it that go on end: who knows what they read, and compare
    with. Those of a snapshot that Cinder has don't.

    :param emptied: just now, so that restores to it end as well: they may
        have written, or left as it was, what is gone
    """
    with catalog.writer() as session:
        service.lock(session)
        for job in job_rows.unfinished(session, volume_id=volume_id):
            if _reads(session, job) or (
                emptied and job.kind == job_rows.RESTORE
            ):
                jobs.request_cancel(
                    session, job.id, 'Its volume was emptied by Cinder.'
                )
        snapshots.forsake_volume(session, volume_id)


def _reads(session: orm.Session, job: job_rows.Job) -> bool:
    """Whether it backs up what is in the volume now."""
    if job.kind != job_rows.BACKUP or job.image_id is None:
        return False
    image = image_rows.get(session, job.image_id)
    return image is not None and image.snapshot_id is None


def check_unwritten(
    session: orm.Session, conf: cfg.ConfigOpts, volume_id: str
) -> None:
    """A backup must not read what a restore is just writing.

    :raises errors.Conflict: ``volume-busy``
    """
    for job in job_rows.unfinished(session, volume_id=volume_id):
        if job.kind == job_rows.RESTORE and not leases.displace(
            session, conf, job
        ):
            raise _busy(job)


def check_unused(
    session: orm.Session, conf: cfg.ConfigOpts, volume_id: str
) -> None:
    """A restore must have its target to itself.

    :raises errors.Conflict: ``volume-busy``
    """
    check_unwritten(session, conf, volume_id)
    for job in job_rows.unfinished(session, volume_id=volume_id):
        if job.kind == job_rows.BACKUP:
            raise _busy(job)


def _busy(job: job_rows.Job) -> errors.Conflict:
    return errors.Conflict(
        'volume-busy',
        f'Volume {job.volume_id} is part of {job.state} {job.kind} job '
        f'{job.id}; wait for its end or cancel it.',
    )
