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
from ebackup_service.server import proxies
from ebackup_service.server import repositories

LOG = log.getLogger(__name__)

# A collection of its own accord follows deletions when nothing else goes on,
# but not each of a series of them.
_PAUSE = 10.0

_DEAD = (image_rows.ERROR, image_rows.DELETING, image_rows.DELETED)
# Jobs that ask: a check that writes packs anew leaves out what isn't needed.
_ASKING = (job_rows.GC, job_rows.CHECK)
_UNCOMMITTED = (image_rows.ERROR, False)


@database.retried
def live(
    catalog: database.Catalog,
    job_id: str,
    token: int,
    image_ids: Sequence[str],
) -> messages.Live:
    """What a collection or check has to keep, asked after its listings.

    As of one instant, without a lock: there may be so many images that jobs
    would lose their leases while they wait for it. Whoever decides from
    several rows has committed by that instant, with all that it was decided
    from, or is not seen at all. Images that the listing missed are pinned by
    their trees.
    """
    with catalog.snapshot() as session:
        job = job_rows.get(session, job_id)
        if (
            job is None
            or job.kind not in _ASKING
            or job.state != job_rows.RUNNING
            or job.token != token
        ):
            return messages.Live(accepted=False)
        unfinished = job_rows.unfinished(
            session, repository_id=job.repository_id
        )
        # All at once, and only the few that are not among them one by one.
        available = image_rows.every_available(session, job.repository_id)
        states = image_rows.states(
            session,
            job.repository_id,
            [image_id for image_id in image_ids if image_id not in available],
        )
        available.difference_update(image_ids)
        missed = image_rows.several(session, sorted(available))
    pins = [other.pin for other in unfinished if other.pin is not None]
    needed = {pin['image_id'] for pin in pins}
    pins += [image_rows.pin(image) for image in missed]
    return messages.Live(
        accepted=True,
        dead=[i for i, (state, _) in states.items() if state in _DEAD],
        pins=[messages.TreeSpec(**pin) for pin in pins],
        missed=[image.id for image in missed if image.id not in needed],
        sessions=[
            other.id for other in unfinished if other.kind == job_rows.BACKUP
        ],
        uncommitted=[
            i for i, known in states.items() if known == _UNCOMMITTED
        ],
    )


@database.retried
def schedule(catalog: database.Catalog, conf: cfg.ConfigOpts) -> None:
    """Begin collections where garbage is known and nothing speaks against.

    At once when the repository is idle, after ``gc_interval`` in any case.
    """
    if not conf.server.gc_interval:
        return
    with catalog.reader() as session:
        if not proxies.any_alive(session, conf) or not _due(session, conf):
            return
    with catalog.writer() as session:
        service.lock(session)
        for repository in _due(session, conf):
            LOG.info('Repository %s is to be collected', repository.name)
            repositories.begin_collection(
                session, repository, _is_whole(session, conf, repository)
            )


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


def _is_whole(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    repository: repository_rows.Repository,
) -> bool:
    """Whether it is time to look at everything again.

    Not right after one that tried, and failed: a page that is damaged, say,
    must not keep the garbage of all other chains for ever.
    """
    of_repository = {'kind': job_rows.GC, 'repository_id': repository.id}
    for job in job_rows.page(session, of_repository, 1, None):
        if job.parameters.get('whole') and job.state == job_rows.FAILED:
            return False
    last = repository.swept_at
    if last is None:
        last = clock.to_milliseconds(repository.created_at)
    interval = clock.milliseconds(conf.server.gc_whole_interval)
    # What lies in the future is of a clock that was set back.
    return not 0 <= clock.read(session) - last < interval


def conclude(session: orm.Session, job: job_rows.Job) -> None:
    """Note a success: what garbage is left, and when the next may come."""
    if job.parameters.get('whole'):
        repository_rows.update(
            session, job.repository_id, swept_at=clock.now()
        )
    repository_rows.update(
        session,
        job.repository_id,
        garbage=models.Repository.garbage - job.parameters.get('garbage', 0),
        collect_after=clock.now() + clock.milliseconds(_PAUSE),
        collected_at=clock.now(),
    )
