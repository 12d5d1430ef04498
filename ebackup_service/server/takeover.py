# SPDX-License-Identifier: Apache-2.0
"""Takes over a repository whose service is gone; an operator's command."""

import uuid

from oslo_log import log
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import repositories

LOG = log.getLogger(__name__)


@database.retried
def begin(
    catalog: database.Catalog, name: str, url: str, repository_id: str
) -> tuple[repository_rows.Repository, job_rows.Job]:
    """Record a repository that exists, and the job that makes it ours.

    Whoever owned it is fenced when the job has succeeded. Backups that run are
    cancelled. From now on the repository takes no backups, and no collection
    begins in it, until the catalog is rebuilt from it: the catalog may lack
    images, or take some for failed that are not. A repository of that name
    of which the catalog holds nothing, because it could not be made, is
    replaced.

    :raises errors.Refused: it can't be its URL (``repository-url``).
    :raises errors.Conflict: the name, or the repository, is known otherwise
        (``repository-exists``), or what would be replaced is in use
        (``repository-busy``).
    """
    repositories.check_url(url)
    with catalog.writer() as session:
        service.lock(session)
        named = repository_rows.named(session, name)
        known = repository_rows.get(session, repository_id)
        if known is not None and known.name != name:
            raise errors.Conflict(
                'repository-exists',
                f'Repository {repository_id} is here already; its name is '
                f'{known.name!r}.',
            )
        if known is not None and known.state == repository_rows.CREATING:
            raise errors.Conflict(
                'repository-busy',
                f'Repository {name!r} is just being made; wait for its job.',
            )
        if named is not None and named.id != repository_id:
            _check_replaceable(session, named, repository_id)
            # the name is free now
            repository_rows.update(session, named.id, name=named.id)
        if known is None:
            repository_rows.insert(
                session,
                id=repository_id,
                name=name,
                url=url,
                state=repository_rows.RECOVERING,
            )
        if named is not None and named.id != repository_id:
            job_rows.move_all(session, named.id, repository_id)
            repository_rows.remove(session, named.id)
        repository_rows.update(
            session,
            repository_id,
            url=url,
            state=repository_rows.RECOVERING,
            error=None,
        )
        _stop_jobs(session, repository_id)
        job = _job(session, repository_id)
        repository = repository_rows.get(session, repository_id)
        assert repository is not None
        LOG.info('Repository %s is to be taken over', repository_id)
        return repository, job


def _check_replaceable(
    session: orm.Session,
    repository: repository_rows.Repository,
    repository_id: str,
) -> None:
    replaceable = (repository_rows.ERROR, repository_rows.RECOVERING)
    if repository.state not in replaceable or not repository_rows.is_blank(
        session, repository.id
    ):
        raise errors.Conflict(
            'repository-exists',
            f'There is another repository {repository.name!r} already, '
            f'{repository.id} ({repository.state}); take {repository_id} '
            'over under another name.',
        )
    for job in job_rows.unfinished(session, repository_id=repository.id):
        raise errors.Conflict(
            'repository-busy',
            f'{job.kind} job {job.id} of repository {repository.name!r} is '
            f'{job.state}; wait for its end or cancel it.',
        )


def _stop_jobs(session: orm.Session, repository_id: str) -> None:
    """End what must not go on afterwards.

    Collections: a catalog that is not complete must not say what is dead. And
    backups: whoever owned the repository meanwhile has collected what they
    stored, or what their base refers to, perhaps.
    """
    for job in job_rows.unfinished(session, repository_id=repository_id):
        if job.kind in (job_rows.GC, job_rows.BACKUP):
            jobs.request_cancel(
                session,
                job.id,
                f'Repository {job.repository} was taken over meanwhile.',
            )


def _job(session: orm.Session, repository_id: str) -> job_rows.Job:
    waiting = job_rows.unfinished(
        session,
        kind=job_rows.TAKEOVER,
        repository_id=repository_id,
        state=job_rows.PENDING,
    )
    if waiting:
        return waiting[0]
    job_id = str(uuid.uuid4())
    job_rows.insert(
        session,
        id=job_id,
        kind=job_rows.TAKEOVER,
        repository_id=repository_id,
        ready_at=clock.now(),
    )
    job = job_rows.get(session, job_id)
    assert job is not None
    return job
