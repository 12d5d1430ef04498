# SPDX-License-Identifier: Apache-2.0
"""Carries a deletion through, once it was asked for."""

import uuid

from oslo_log import log
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import jobs
from ebackup_service.server import snapshots

LOG = log.getLogger(__name__)

# Seconds after which a deletion whose job failed is tried again.
_RETRY = 60.0


def begin(
    session: orm.Session, image: image_rows.Image
) -> job_rows.Job | None:
    """The job that deletes an image, a new one if there is none yet.

    From now on the image is dead: no restore of it begins, and collection
    does not keep it, whatever becomes of the job. A backup that still makes
    it is cancelled; the job waits for its end. The caller holds
    ``service.lock``.
    """
    assert image.repository_id is not None
    for job in job_rows.unfinished(session, image_id=image.id):
        if job.kind == job_rows.DELETE:
            return job
        if job.kind == job_rows.BACKUP:
            jobs.request_cancel(session, job.id, 'Its image was deleted.')
    snapshots.forsake(session, image.id)
    job_id = str(uuid.uuid4())
    job_rows.insert(
        session,
        id=job_id,
        kind=job_rows.DELETE,
        repository_id=image.repository_id,
        image_id=image.id,
        volume_id=image.volume_id,
        project_id=image.project_id,
        ready_at=clock.now(),
    )
    image_rows.move(
        session,
        image.id,
        (
            image_rows.CREATING,
            image_rows.AVAILABLE,
            image_rows.ERROR,
            image_rows.DELETING,
        ),
        state=image_rows.DELETING,
        job_id=job_id,
    )
    return job_rows.get(session, job_id)


@database.retried
def resume(catalog: database.Catalog) -> None:
    """Try again what was to be deleted and has no job any more."""
    with catalog.reader() as session:
        if not image_rows.abandoned(session, clock.milliseconds(_RETRY)):
            return
    with catalog.writer() as session:
        service.lock(session)
        for image in image_rows.abandoned(session, clock.milliseconds(_RETRY)):
            LOG.info('Image %s is still to be deleted', image.id)
            begin(session, image)
