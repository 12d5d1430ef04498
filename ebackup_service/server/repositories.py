# SPDX-License-Identifier: Apache-2.0
"""Repositories: create, look up, collect garbage, check, rebuild, delete."""

import builtins
from typing import Any
import uuid

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository.storage import registry
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server import errors

LOG = log.getLogger(__name__)


@database.retried
def create(
    catalog: database.Catalog, name: str, url: str
) -> tuple[repository_rows.Repository, job_rows.Job]:
    """Record a repository, and the job that makes it on its storage.

    After a failure the same call tries again.

    :raises errors.Refused: it can't be its URL (``repository-url``).
    :raises errors.Conflict: the name is taken (``repository-exists``).
    """
    check_url(url)
    with catalog.writer() as session:
        service.lock(session)
        known = repository_rows.named(session, name)
        if known is None:
            repository_id = str(uuid.uuid4())
            repository_rows.insert(
                session,
                id=repository_id,
                name=name,
                url=url,
                state=repository_rows.CREATING,
            )
        elif known.state == repository_rows.ERROR:
            repository_id = known.id
            repository_rows.update(
                session,
                known.id,
                url=url,
                state=repository_rows.CREATING,
                error=None,
            )
        else:
            raise errors.Conflict(
                'repository-exists',
                f'There is a repository {name!r} already ({known.state}).',
            )
        job = _maintain(session, job_rows.CREATE, repository_id, {})
        repository = repository_rows.get(session, repository_id)
        assert repository is not None
        return repository, job


def ensure_default(catalog: database.Catalog, conf: cfg.ConfigOpts) -> None:
    """Create the repository that the configuration names, if it is new.

    For the service that runs in one process; does nothing without a
    ``[repository] url``. A repository stays where it was made.

    :raises errors.Refused: that can't be the URL of a repository.
    """
    name, url = conf.default_repository, conf.repository.url
    with catalog.reader() as session:
        known = repository_rows.named(session, name)
    if url and (known is None or known.state == repository_rows.ERROR):
        try:
            create(catalog, name, url)
        except errors.Refused as error:
            raise errors.Refused(
                error.kind, f'[repository]url: {error}'
            ) from error
    elif url and known is not None and known.url != url:
        LOG.warning(
            'Repository %s stays at %s: [repository]url, which is %s now, '
            'counts only when it is made. Set that option back; or, to back '
            'up to the new place from now on, set [DEFAULT]default_repository '
            'to a new name, too',
            name,
            known.public_url,
            repository_rows.without_credentials(url),
        )


def check_url(url: str) -> None:
    """Refuse what no proxy could open, and secrets, before it is recorded.

    :raises errors.Refused: it can't be a repository's (``repository-url``).
    """
    try:
        registry.check_url(url)
    except repository_errors.InvalidUrl as error:
        raise errors.Refused('repository-url', str(error)) from error


def list(
    catalog: database.Catalog,
) -> builtins.list[repository_rows.Repository]:
    with catalog.reader() as session:
        return repository_rows.every(session)


def show(catalog: database.Catalog, name: str) -> repository_rows.Repository:
    """:raises errors.NotFound: no repository of that name."""
    with catalog.reader() as session:
        return _find(session, name)


def usage(catalog: database.Catalog, name: str) -> dict[str, Any]:
    """What the proxies last reported: bytes total, free and used, and packs.

    ``measured_at`` is None, and so are these, before the first report.
    ``images`` are the available ones by the catalog.

    :raises errors.NotFound: no repository of that name.
    """
    with catalog.reader() as session:
        repository = _find(session, name)
        images = image_rows.count(session, repository.id)
    return {
        **dict.fromkeys(('total', 'free', 'used', 'packs')),
        **(repository.usage or {}),
        'images': images,
        'measured_at': repository.used_at,
    }


@database.retried
def collect(catalog: database.Catalog, name: str) -> job_rows.Job:
    """Ask for a garbage collection that looks at everything.

    One that still waits serves everybody.

    :raises errors.NotFound: no repository of that name.
    :raises errors.Conflict: it is not ready (``repository-not-ready``).
    """
    with catalog.writer() as session:
        service.lock(session)
        repository = _usable(_find(session, name))
        waiting = [
            job
            for job in job_rows.unfinished(
                session,
                kind=job_rows.GC,
                repository_id=repository.id,
                state=job_rows.PENDING,
            )
            if job.parameters.get('whole')
        ]
        if waiting:
            return waiting[0]
        return begin_collection(session, repository, whole=True)


@database.retried
def check(
    catalog: database.Catalog, name: str, fraction: float = 0.0
) -> job_rows.Job:
    """Ask for a check of every image's pages, and of data if wanted.

    :param fraction: of the data: that which was not read for longest; 1: all
    :raises errors.NotFound: no repository of that name.
    :raises errors.Conflict: it is not ready (``repository-not-ready``).
    """
    with catalog.writer() as session:
        service.lock(session)
        repository = _usable(_find(session, name))
        return begin_check(session, repository, fraction)


@database.retried
def rebuild(catalog: database.Catalog, name: str) -> job_rows.Job:
    """Ask for the catalog to be rebuilt from a repository.

    One that still waits serves everybody.

    :raises errors.NotFound: no repository of that name.
    :raises errors.Conflict: it is being made, or could not be
        (``repository-not-ready``).
    """
    with catalog.writer() as session:
        service.lock(session)
        repository = _find(session, name)
        if repository.state != repository_rows.RECOVERING:
            _usable(repository)
        waiting = job_rows.unfinished(
            session,
            kind=job_rows.REBUILD,
            repository_id=repository.id,
            state=job_rows.PENDING,
        )
        if waiting:
            return waiting[0]
        return _maintain(session, job_rows.REBUILD, repository.id, {})


@database.retried
def delete(
    catalog: database.Catalog, conf: cfg.ConfigOpts, name: str
) -> repository_rows.Repository:
    """Forget a repository, as it is returned; what is stored there stays.

    :raises errors.NotFound: no repository of that name.
    :raises errors.Conflict: it is the default one
        (``repository-configured``), or the catalog has images or unfinished
        jobs in it, or snapshots on production storage of what was in it
        (``repository-in-use``).
    """
    with catalog.writer() as session:
        service.lock(session)
        repository = _find(session, name)
        _check_not_default(conf, repository)
        _check_unused(session, repository)
        repository_rows.forget(session, repository.id)
    LOG.info(
        'Repository %s (%s) is forgotten; what is at %s stays',
        name,
        repository.id,
        repository.public_url,
    )
    return repository


def _check_not_default(
    conf: cfg.ConfigOpts, repository: repository_rows.Repository
) -> None:
    if repository.name != conf.default_repository:
        return
    reason = 'backups go there that name no other one'
    if conf.repository.url:
        reason = 'the service would make it again, as [repository]url says'
    raise errors.Conflict(
        'repository-configured',
        f'Repository {repository.name!r} is [DEFAULT]default_repository: '
        f'{reason}. Set that option to another name, and restart the service.',
    )


def _check_unused(
    session: orm.Session, repository: repository_rows.Repository
) -> None:
    """Refuse to lose sight of what the catalog still has to do with."""
    reasons = [
        f'image {image.id} ({image.state}) is in it, with others perhaps: '
        'delete them'
        for image in image_rows.page(
            session, {'repository_id': repository.id}, 1, None
        )
    ]
    reasons += [
        f'{job.kind} job {job.id} is {job.state}: wait for its end or cancel '
        'it'
        for job in job_rows.unfinished(session, repository_id=repository.id)
    ]
    if snapshot_rows.find(session, repository_id=repository.id):
        reasons.append(
            'snapshots of ours are on production storage, of volumes that '
            'were backed up to it: wait until they are removed'
        )
    if reasons:
        raise errors.Conflict(
            'repository-in-use',
            f'Repository {repository.name!r} is needed: {reasons[0]}.',
        )


def begin_collection(
    session: orm.Session,
    repository: repository_rows.Repository,
    whole: bool,
) -> job_rows.Job:
    """A job that accounts for the garbage that is known by now.

    And that no collection which still runs accounts for: each event is to be
    taken off once. The caller holds ``service.lock``.

    :param whole: whether it looks at everything, or at what has changed
    """
    accounted = sum(
        job.parameters.get('garbage', 0)
        for job in job_rows.unfinished(session, repository_id=repository.id)
        if job.kind == job_rows.GC
    )
    return _maintain(
        session,
        job_rows.GC,
        repository.id,
        {'garbage': repository.garbage - accounted, 'whole': whole},
    )


def begin_check(
    session: orm.Session,
    repository: repository_rows.Repository,
    fraction: float,
) -> job_rows.Job:
    """A job that checks. The caller holds ``service.lock``."""
    return _maintain(
        session, job_rows.CHECK, repository.id, {'fraction': fraction}
    )


def ready(session: orm.Session, name: str) -> repository_rows.Repository:
    """The repository for a new image.

    :raises errors.Refused: there is none of that name.
    :raises errors.Conflict: it is not ready (``repository-not-ready``).
    """
    repository = repository_rows.named(session, name)
    if repository is None:
        raise errors.Refused(
            'repository-unknown', f'There is no repository {name!r}.'
        )
    return _usable(repository)


def _find(session: orm.Session, name: str) -> repository_rows.Repository:
    repository = repository_rows.named(session, name)
    if repository is None:
        raise errors.NotFound('repository-unknown', f'No repository {name!r}.')
    return repository


def _usable(
    repository: repository_rows.Repository,
) -> repository_rows.Repository:
    if repository.state != repository_rows.AVAILABLE:
        reason = 'wait for its job.'
        if repository.state == repository_rows.RECOVERING:
            reason = 'rebuild the catalog from it.'
        reason = (repository.error or {}).get('message', reason)
        raise errors.Conflict(
            'repository-not-ready',
            f'Repository {repository.name!r} is not ready '
            f'({repository.state}): {reason}',
        )
    return repository


def _maintain(
    session: orm.Session,
    kind: str,
    repository_id: str,
    parameters: dict[str, Any],
) -> job_rows.Job:
    job_id = str(uuid.uuid4())
    job_rows.insert(
        session,
        id=job_id,
        kind=kind,
        repository_id=repository_id,
        parameters=parameters,
        ready_at=clock.now(),
    )
    job = job_rows.get(session, job_id)
    assert job is not None
    return job
