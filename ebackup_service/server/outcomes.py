# SPDX-License-Identifier: Apache-2.0
"""Takes what proxies report: checkpoints, a commit, and the end of a run.

All are fenced: only the newest token of a running job is heard. Checkpoint
and commit also need a lease that has not run out by the database's clock.
"""

from typing import Any

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
from ebackup_service.server import collection
from ebackup_service.server import damage
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import rebuild
from ebackup_service.server import refusals
from ebackup_service.server import snapshots
from ebackup_service.server import verification

LOG = log.getLogger(__name__)

# Seconds before a job that broke is begun again, or one handed out again that
# was given back before it began: that does not count, so it must not be quick.
_PAUSE = 5.0
# Kinds of errors after which a run that had begun is followed by another one
# without a pause.
_AT_ONCE = ('proxy-stopping', 'lease-lost', 'heartbeat-lost')

_ACCEPTED = messages.Decision(accepted=True)
_FENCED = messages.Decision(
    accepted=False, reason='The proxy no longer holds the job.'
)


@database.retried
def checkpoint(
    catalog: database.Catalog,
    job_id: str,
    token: int,
    checkpoint: messages.Checkpoint,
) -> messages.Decision:
    """Note where another run would go on; what it names is durable."""
    with catalog.writer() as session:
        noted = job_rows.update(
            session,
            job_id,
            (job_rows.RUNNING,),
            job_rows.held(token),
            job_rows.leased(),
            checkpoint=checkpoint.to_dict(),
        )
    return _ACCEPTED if noted else _FENCED


@database.retried
def commit_image(
    catalog: database.Catalog,
    job_id: str,
    token: int,
    root: messages.Commit,
) -> messages.Decision:
    """Record the tree of a candidate root that lies in the repository.

    The image stays in creation: it is acknowledged when the commit marker
    lies in the repository as well and the job succeeds. May be repeated.
    """
    with catalog.writer() as session:
        # writes the job's row, so that a cancellation comes before or after
        committing = job_rows.update(
            session,
            job_id,
            (job_rows.RUNNING,),
            job_rows.held(token),
            job_rows.leased(),
            models.Job.kind == job_rows.BACKUP,
            models.Job.cancel_reason.is_(None),
            ready_at=models.Job.ready_at,
        )
        job = job_rows.get(session, job_id)
        if not committing or job is None or job.image_id is None:
            return _FENCED
        moved = image_rows.move(
            session,
            job.image_id,
            (image_rows.CREATING,),
            root=root.to_dict(),
            size=root.size,
        )
    return _ACCEPTED if moved else _FENCED


@database.retried
def finish(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    job_id: str,
    token: int,
    outcome: messages.Outcome,
) -> messages.Decision:
    """Take a run's end, which is the job's unless it was returned.

    Repeated, it is accepted and changes nothing. So is that of a run whose job
    was taken back, but how far it had come counts until another one is begun.
    """
    with catalog.writer() as session:
        job = job_rows.locked(session, job_id)
        if job is None or job.token != token:
            return _FENCED
        if job.state != job_rows.RUNNING:
            given_back = (job.state, outcome.state) == (
                job_rows.PENDING,
                'returned',
            )
            if given_back:
                _progress(session, job, outcome)
            repeated = given_back or job.state == outcome.state
            return _ACCEPTED if repeated else _FENCED
        if outcome.state == 'returned' and _return(
            session, conf, job, outcome
        ):
            return _ACCEPTED
        ended = _end(session, conf, job, outcome)
        if ended:
            _account(session, job, outcome)
            refusals.learn(session, conf, job, outcome)
    return _ACCEPTED if ended else _FENCED


def _return(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    job: job_rows.Job,
    outcome: messages.Outcome,
) -> bool:
    """Let another run have the job, if there may be one."""
    if job.begun and job.runs >= conf.server.max_runs:
        return False
    waits = outcome.error and (
        not job.begun or outcome.error.kind not in _AT_ONCE
    )
    if not jobs.take_back(session, job, _PAUSE if waits else 0.0):
        return False
    _progress(session, job, outcome)
    LOG.warning(
        '%s job %s was given back by proxy %s: %s',
        job.kind,
        job.id,
        job.proxy,
        outcome.error.message if outcome.error else 'no reason given',
    )
    return True


def _progress(
    session: orm.Session, job: job_rows.Job, outcome: messages.Outcome
) -> None:
    """What the next run needs to count what is read again."""
    job_rows.update(
        session,
        job.id,
        job_rows.UNFINISHED,
        progress=outcome.progress or job.progress,
    )


def _end(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    job: job_rows.Job,
    outcome: messages.Outcome,
) -> bool:
    if outcome.state == job_rows.SUCCEEDED:
        return _succeed(session, job, outcome)
    error = outcome.error or messages.JobError(
        'proxy-stopping', f'Proxy {job.proxy} gave the job back.', True
    )
    error = leases.explain(conf, job, error, clock.read(session))
    state = job_rows.FAILED
    if job.cancel_reason is not None or outcome.state == job_rows.CANCELLED:
        state = job_rows.CANCELLED
    return jobs.end(session, job, state, error.to_dict())


def _succeed(
    session: orm.Session, job: job_rows.Job, outcome: messages.Outcome
) -> bool:
    result = outcome.result or {}
    if job.kind == job_rows.BACKUP and not _acknowledge(session, job, result):
        # Deleted meanwhile, or never committed: no image comes of it.
        error = jobs.failure('cancelled', 'The image was deleted.')
        return jobs.end(session, job, job_rows.CANCELLED, error)
    ended = job_rows.end(
        session,
        job.id,
        (job_rows.RUNNING,),
        job_rows.SUCCEEDED,
        job_rows.held(job.token),
        result={**result, **_notes(job)},
        # Some have no progress to tell, others more to do when all is read.
        progress={**(outcome.progress or job.progress), 'percent': 100},
        cancel_reason=None,
    )
    if ended:
        LOG.info('%s job %s succeeded', job.kind, job.id)
        _conclude(session, job, result)
    return ended


def _notes(job: job_rows.Job) -> dict[str, Any]:
    """What was found odd at the reservation, for whoever reads the result."""
    key = 'availability_zone_mismatch'
    return {key: job.parameters[key]} if key in job.parameters else {}


def _acknowledge(
    session: orm.Session, job: job_rows.Job, result: dict[str, Any]
) -> bool:
    assert job.image_id is not None
    image = image_rows.get(session, job.image_id)
    if image is None or image.root is None:
        return False
    damage.inherit(session, job)
    available = image_rows.move(
        session,
        job.image_id,
        (image_rows.CREATING,),
        state=image_rows.AVAILABLE,
        kind=result.get('kind'),
        bytes_read=result.get('bytes_read'),
        bytes_stored=result.get('bytes_stored'),
    )
    if available:
        snapshots.keep(session, job, result)
    return available


def _conclude(
    session: orm.Session, job: job_rows.Job, result: dict[str, Any]
) -> None:
    if job.kind == job_rows.DELETE and job.image_id is not None:
        image_rows.move(
            session,
            job.image_id,
            (image_rows.DELETING,),
            state=image_rows.DELETED,
        )
        repository_rows.littered(session, job.repository_id)
    elif job.kind == job_rows.CREATE:
        repository_rows.update(
            session,
            job.repository_id,
            state=repository_rows.AVAILABLE,
            error=None,
        )
    elif job.kind == job_rows.TAKEOVER:
        repository_rows.update(
            session,
            job.repository_id,
            owner_generation=result['owner_generation'],
            state=repository_rows.RECOVERING,
            error=None,
        )
    elif job.kind == job_rows.REBUILD:
        rebuild.conclude(session, job)
    elif job.kind == job_rows.GC:
        collection.conclude(session, job)
    elif job.kind == job_rows.CHECK:
        verification.conclude(session, job)
    elif job.kind == job_rows.RELEASE:
        snapshots.conclude(session, job, result)


def _account(
    session: orm.Session, job: job_rows.Job, outcome: messages.Outcome
) -> None:
    if outcome.progress and outcome.state != job_rows.SUCCEEDED:
        job_rows.update(
            session, job.id, job_rows.STATES, progress=outcome.progress
        )
    usage = (outcome.result or {}).get('usage')
    if usage is not None:
        repository = repository_rows.get(session, job.repository_id)
        known = (repository and repository.usage) or {}
        repository_rows.update(
            session,
            job.repository_id,
            usage={**_estimate(known, job, outcome.result or {}), **usage},
            used_at=clock.now(),
        )


def _estimate(
    usage: dict[str, Any], job: job_rows.Job, result: dict[str, Any]
) -> dict[str, Any]:
    """With what a backup added, until a collection or check counts again."""
    if job.kind != job_rows.BACKUP or 'used' not in usage:
        return usage
    added = (result.get('bytes_stored', 0), result.get('metadata_bytes', 0))
    return {**usage, 'used': usage['used'] + sum(added)}
