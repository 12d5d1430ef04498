# SPDX-License-Identifier: Apache-2.0
"""Jobs: look up, supply the attachment, beat, cancel, end."""

import builtins
from typing import Any

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server import errors
from ebackup_service.server import snapshots

LOG = log.getLogger(__name__)

Failure = dict[str, Any]

# Seconds after which an unsuccessful collection may be followed by another
# of the service's own accord.
_COLLECT_AGAIN = 60.0


def failure(kind: str, message: str, retryable: bool = False) -> Failure:
    """A job's error as the API shows it."""
    return {'kind': kind, 'message': message, 'retryable': retryable}


def check_room(session: orm.Session, conf: cfg.ConfigOpts) -> None:
    """Admit one more backup or restore. The caller holds ``service.lock``.

    :raises errors.Conflict: so many wait or run already (``too-many-jobs``).
    """
    most = conf.server.max_unfinished_jobs
    if job_rows.count_unfinished(session, job_rows.DATA_KINDS) >= most:
        raise errors.Conflict(
            'too-many-jobs',
            f'{most} backups and restores wait or run already, as many as '
            '[server]max_unfinished_jobs allows; try again later.',
        )


def show(
    catalog: database.Catalog, job_id: str, project_id: str | None = None
) -> job_rows.Job:
    """One job; with ``project_id`` only if it is that project's.

    :raises errors.NotFound: unknown, or another project's.
    """
    with catalog.reader() as session:
        return find(session, job_id, project_id)


def find(
    session: orm.Session, job_id: str, project_id: str | None = None
) -> job_rows.Job:
    """As ``show``, in a transaction that goes on."""
    job = job_rows.get(session, job_id)
    if job is None or project_id not in (None, job.project_id):
        raise errors.NotFound('job-unknown', f'No job {job_id}.')
    return job


def list(
    catalog: database.Catalog,
    *,
    project_id: str | None = None,
    state: str | None = None,
    kind: str | None = None,
    image_id: str | None = None,
    exported: float | None = None,
    limit: int = 1000,
    marker: str | None = None,
) -> tuple[builtins.list[job_rows.Job], str | None]:
    """Jobs, newest first, and the marker of the next page if any.

    :param exported: only those that ended longer ago than so many seconds,
        and for which Cinder may still export something
    """
    asked = {
        'project_id': project_id,
        'state': state,
        'kind': kind,
        'image_id': image_id,
    }
    filters = {key: value for key, value in asked.items() if value}
    conditions = []
    if exported is not None:
        over = job_rows.over(clock.milliseconds(exported))
        conditions = [over, job_rows.exported()]
    with catalog.reader() as session:
        found = job_rows.page(session, filters, limit + 1, marker, *conditions)
    more = len(found) > limit
    return found[:limit], found[limit - 1].id if more else None


@database.retried
def attach(
    catalog: database.Catalog, job_id: str, attachment: dict[str, Any]
) -> job_rows.Job:
    """Take what the driver says about where the data can be reached.

    The same again changes nothing. It counts as a beat.

    :raises errors.NotFound: no such job.
    :raises errors.Conflict: the job has another one (``attachment-differs``),
        needs none (``attachment-unneeded``), or has ended (``job-ended``).
    """
    with catalog.writer() as session:
        attached = job_rows.update(
            session,
            job_id,
            (job_rows.PENDING,),
            models.Job.needs == job_rows.ATTACHMENT,
            needs=None,
            attachment=attachment,
            ready_at=clock.now(),
            beat_at=clock.now(),
        )
        job = find(session, job_id)
    if not attached and job.attachment != attachment:
        raise unattachable(job)
    return job


def unattachable(job: job_rows.Job) -> errors.Conflict:
    """Why a job takes no attachment, or not this one."""
    if job.finished:
        reason = f': {job.error["message"]}' if job.error else '.'
        return errors.Conflict(
            'job-ended', f'Job {job.id} has {job.state}{reason}'
        )
    if job.attachment is None:
        return errors.Conflict(
            'attachment-unneeded',
            f'Job {job.id} ({job.kind}) needs no attachment.',
        )
    return errors.Conflict(
        'attachment-differs', f'Job {job.id} has another attachment already.'
    )


@database.retried
def beat(catalog: database.Catalog, job_id: str) -> job_rows.Job:
    """Note that the driver is alive; of a finished job nothing changes.

    :raises errors.NotFound: no such job.
    """
    with catalog.writer() as session:
        job_rows.update(
            session,
            job_id,
            job_rows.UNFINISHED,
            models.Job.beat_at.is_not(None),
            beat_at=clock.now(),
        )
        return find(session, job_id)


@database.retried
def cancel(
    catalog: database.Catalog,
    job_id: str,
    reason: str = 'Cancelled on request.',
) -> job_rows.Job:
    """Ask for the end of a job; a finished one is left as it is.

    A job that has not begun is cancelled at once, another one when its proxy
    has stopped, which takes at most its lease.

    :raises errors.NotFound: no such job.
    """
    with catalog.writer() as session:
        request_cancel(session, job_id, reason)
        return find(session, job_id)


def request_cancel(session: orm.Session, job_id: str, reason: str) -> None:
    """Cancel a job that has not begun, or note that another one shall stop.

    The job's row is locked first: handed out, begun or taken back in between,
    it would escape. One that was handed out may begin only when it is renewed,
    which it is not any more; maybe the message is lost.
    """
    job = job_rows.locked(session, job_id)
    if job is None or job.finished:
        return
    if job.begun:
        job_rows.update(
            session, job_id, (job_rows.RUNNING,), cancel_reason=reason[:255]
        )
    else:
        end(session, job, job_rows.CANCELLED, failure('cancelled', reason))


def end(
    session: orm.Session,
    job: job_rows.Job,
    state: str,
    error: Failure,
) -> bool:
    """End a job without success, as it was read; whether it was this call.

    The compare-and-swap on state, token and lease makes sure that nothing
    has happened to the job since. What hangs on the job ends with it.
    """
    ended = job_rows.end(
        session,
        job.id,
        (job.state,) if not job.finished else (),
        state,
        *job_rows.unmoved(job),
        error=error,
    )
    if ended:
        LOG.log(
            log.INFO if state == job_rows.CANCELLED else log.WARNING,
            '%s job %s %s: %s',
            job.kind,
            job.id,
            state,
            error['message'],
        )
        settle(session, job, error)
    return ended


def settle(session: orm.Session, job: job_rows.Job, error: Failure) -> None:
    """What the unsuccessful end of a job means for its image, repository."""
    if job.kind == job_rows.BACKUP and job.image_id is not None:
        image_rows.move(
            session,
            job.image_id,
            (image_rows.CREATING,),
            state=image_rows.ERROR,
            error=error,
        )
        repository_rows.littered(session, job.repository_id)
        snapshots.settle(session, job)
    elif job.kind == job_rows.RELEASE:
        snapshots.postpone(session, job.parameters['snapshots'])
    elif job.kind == job_rows.GC:
        pause = clock.milliseconds(_COLLECT_AGAIN)
        repository_rows.update(
            session, job.repository_id, collect_after=clock.now() + pause
        )
    elif job.kind == job_rows.CREATE:
        repository_rows.update(
            session,
            job.repository_id,
            state=repository_rows.ERROR,
            error=error,
        )
    elif job.kind == job_rows.TAKEOVER:
        # What the catalog knows of it may still be true.
        repository_rows.update(session, job.repository_id, error=error)


def take_back(
    session: orm.Session,
    job: job_rows.Job,
    pause: float = 0.0,
    in_vain: bool = False,
) -> bool:
    """Let a job that was handed out wait again.

    Whoever had it can't go on: a pending job grants no lease, and the next
    hand-out has another token. The caller knows that he has stopped.

    :param pause: seconds before it may be handed out
    :param in_vain: nobody has taken it up, nor said that he does not
    """
    # A run that has begun may have left a checkpoint or a candidate root, or
    # leave one yet, which refer to its base; the next run goes on with them.
    keeps_pin = job.kind != job_rows.BACKUP or job.runs > 0
    values: dict[str, Any] = {}
    if 'storage' in job.parameters:
        # What was exported was so to this proxy only.
        values = {'needs': None, 'attachment': None}
    return job_rows.update(
        session,
        job.id,
        (job_rows.RUNNING,),
        models.Job.cancel_reason.is_(None),
        *job_rows.unmoved(job),
        state=job_rows.PENDING,
        proxy=None,
        lease_until=None,
        begun=False,
        vain=job.vain + in_vain,
        ready_at=clock.now() + clock.milliseconds(pause),
        pin=job.pin if keeps_pin else None,
        **values,
    )
