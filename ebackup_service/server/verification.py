# SPDX-License-Identifier: Apache-2.0
"""Which part of a repository's data is read next, and when.

The catalog remembers how far around the ring of ``repository.sample`` the
data was read: ``position``, where the next sample begins; ``began``, when the
first of this round did; ``complete``, when the first of the last whole round
did: what was stored before that has been read since; ``last``, when a sample
was read. Instants are milliseconds.
"""

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.repository import sample
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import proxies
from ebackup_service.server import repositories

LOG = log.getLogger(__name__)

# Seconds after which one that did not succeed is tried again, at most.
_RETRY = 3600.0


@database.retried
def schedule(catalog: database.Catalog, conf: cfg.ConfigOpts) -> None:
    """Begin to verify a sample of each repository whose turn it is."""
    if not conf.server.verify_interval:
        return
    with catalog.reader() as session:
        if not proxies.any_alive(session, conf) or not _due(session, conf):
            return
    with catalog.writer() as session:
        service.lock(session)
        for repository in _due(session, conf):
            LOG.info('Repository %s is to be verified', repository.name)
            repositories.begin_check(
                session, repository, conf.server.verify_fraction
            )
            pause = min(conf.server.verify_interval, _RETRY)
            repository_rows.update(
                session,
                repository.id,
                verify_after=clock.now() + clock.milliseconds(pause),
            )


def _due(
    session: orm.Session, conf: cfg.ConfigOpts
) -> list[repository_rows.Repository]:
    now = clock.read(session)
    interval = clock.milliseconds(conf.server.verify_interval)
    retry = clock.milliseconds(_RETRY)
    due = []
    for repository in repository_rows.every(session):
        last = repository.verification.get('last')
        if last is None:
            last = clock.to_milliseconds(repository.created_at)
        if (
            repository.state == repository_rows.AVAILABLE
            # What lies in the future is of a clock that was set back.
            and not now < repository.verify_after <= now + retry
            and not now - interval < last <= now
            and not job_rows.unfinished(
                session, repository_id=repository.id, kind=job_rows.CHECK
            )
        ):
            due.append(repository)
    return due


def arc(session: orm.Session, job: job_rows.Job) -> messages.SampleSpec | None:
    """What a check reads; the same until one has succeeded."""
    fraction = job.parameters.get('fraction')
    if not fraction:
        return None
    begin, size = 0, sample.RING
    if fraction < 1:
        repository = repository_rows.get(session, job.repository_id)
        assert repository is not None
        begin = repository.verification.get('position', 0)
        size = max(round(fraction * sample.RING), 1)
    return messages.SampleSpec(begin, min(begin + size, sample.RING))


def conclude(session: orm.Session, job: job_rows.Job) -> None:
    """Remember what a check that succeeded has read."""
    read = arc(session, job)
    repository = repository_rows.get(session, job.repository_id)
    if read is None or repository is None or job.started_at is None:
        return
    before = repository.verification
    began = before.get('began')
    if read.begin == 0:
        began = clock.to_milliseconds(job.started_at)
    whole = read.end == sample.RING
    repository_rows.update(
        session,
        repository.id,
        verification={
            'position': 0 if whole else read.end,
            'began': None if whole else began,
            'complete': began if whole else before.get('complete'),
            'last': clock.read(session),
        },
    )
