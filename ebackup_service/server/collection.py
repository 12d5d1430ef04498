# SPDX-License-Identifier: Apache-2.0
"""When garbage is collected, and what a collection has to keep."""

from collections.abc import Sequence

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import repositories

LOG = log.getLogger(__name__)

# A collection of its own accord follows deletions when nothing else goes on,
# but not each of a series of them.
_PAUSE = 10.0
_PAUSE_AFTER_FAILURE = 300.0

_DEAD = (image_rows.ERROR, image_rows.DELETING, image_rows.DELETED)
_BATCH = 500


@database.retried
def live(
    catalog: database.Catalog,
    job_id: str,
    token: int,
    image_ids: Sequence[str],
) -> messages.Live:
    """What the collection ``job_id`` has to keep, asked after its listings.

    A backup that ended since the job began counts as one that still runs:
    its image may have come after the listing of images, its packs before
    that of packs.
    """
    with catalog.reader() as session:
        job = job_rows.get(session, job_id)
        if (
            job is None
            or job.kind != job_rows.GC
            or job.state != job_rows.RUNNING
            or job.token != token
            or job.started_at is None
        ):
            return messages.Live(accepted=False)
        begun = clock.to_milliseconds(job.started_at)
        sessions = job_rows.sessions(session, job.repository_id, begun)
        pins = [
            messages.TreeSpec(**other.pin)
            for other in job_rows.unfinished(
                session, repository_id=job.repository_id
            )
            if other.pin is not None
        ]
        dead = [
            image_id
            for start in range(0, len(image_ids), _BATCH)
            for image_id, state in image_rows.states(
                session,
                job.repository_id,
                image_ids[start : start + _BATCH],
            ).items()
            if state in _DEAD
        ]
    return messages.Live(True, dead, pins, sessions)


@database.retried
def schedule(catalog: database.Catalog, conf: cfg.ConfigOpts) -> None:
    """Begin collections where garbage is known and nothing speaks against.

    At once when the repository is idle, after ``gc_interval`` in any case.
    """
    if not conf.server.gc_interval:
        return
    with catalog.reader() as session:
        if not any(_due(session, conf)):
            return
    with catalog.writer() as session:
        service.lock(session)
        for repository in _due(session, conf):
            LOG.info('Repository %s is to be collected', repository.name)
            repositories.begin_collection(session, repository)


def _due(
    session: orm.Session, conf: cfg.ConfigOpts
) -> list[repository_rows.Repository]:
    now = clock.read(session)
    interval = clock.milliseconds(conf.server.gc_interval)
    due = []
    for repository in repository_rows.every(session):
        if (
            repository.state != repository_rows.AVAILABLE
            or not repository.garbage
            or repository.collect_after > now
        ):
            continue
        busy = job_rows.unfinished(session, repository_id=repository.id)
        last = clock.to_milliseconds(
            repository.collected_at or repository.created_at
        )
        if any(job.kind == job_rows.GC for job in busy):
            continue
        if not busy or last + interval <= now:
            due.append(repository)
    return due


def note(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    job: job_rows.Job,
    state: str,
) -> None:
    """Note the end of a collection: what is left, when the next may come."""
    if state != job_rows.SUCCEEDED:
        pause = min(conf.server.gc_interval, _PAUSE_AFTER_FAILURE)
        repository_rows.update(
            session,
            job.repository_id,
            collect_after=clock.now() + clock.milliseconds(pause),
        )
        return
    repository_rows.update(
        session,
        job.repository_id,
        garbage=models.Repository.garbage - job.parameters.get('garbage', 0),
        collect_after=clock.now() + clock.milliseconds(_PAUSE),
        collected_at=clock.now(),
    )
