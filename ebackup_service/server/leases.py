# SPDX-License-Identifier: Apache-2.0
"""Who may go on, and for how long; by the database's clock alone.

A lease is the proxy's permission to work on a job. For a job with a driver
behind it, it never reaches beyond the driver's last beat plus
``heartbeat_timeout``: driver's heartbeat and proxy's lease are one mechanism.
"""

import dataclasses
import math
from typing import Any

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import jobs

LOG = log.getLogger(__name__)

# Seconds after the end of a lease during which nothing that the proxy wrote
# to a volume is taken for the last of it: the proxy stops by its own clock,
# but a write that the kernel already has may take a moment.
MARGIN = 2.0
_HEARTBEAT_LOST = 'heartbeat-lost'
_LEASE_LOST = 'lease-lost'


def length(conf: cfg.ConfigOpts, job: job_rows.Job, now: int) -> float:
    """Seconds that may be granted now; nothing or less when the beat ended.

    While the driver has Cinder export the volume it can't beat, for as long as
    that takes. Nothing is read or written meanwhile: a proxy that gets the
    connection asks again, and says so, before it uses it.
    """
    seconds: float = conf.server.lease
    timeout = conf.server.heartbeat_timeout
    if job.needs == job_rows.CONNECTION:
        timeout += conf.server.attachment_timeout
    if job.beat_at is not None:
        # A clock that was set back must not make a beat count for longer.
        seconds = min(seconds, min(job.beat_at - now, 0) / 1000 + timeout)
    return seconds


@database.retried
def renew(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    job_id: str,
    token: int,
    progress: dict[str, Any],
) -> messages.Grant:
    """Grant a proxy more time; at the first renewal its run begins."""
    connected = messages.CONNECTED in progress
    progress = {
        key: progress[key] for key in progress if key != messages.CONNECTED
    }
    with catalog.writer() as session:
        now = clock.read(session)
        job = job_rows.get(session, job_id)
        if job is not None and connected:
            # The volume may be used from now on, whoever else knows of that.
            job = dataclasses.replace(job, needs=None)
        refusal = _refusal(conf, job, token, now)
        if refusal is not None:
            return refusal
        assert job is not None
        seconds = length(conf, job, now)
        values: dict[str, Any] = {'progress': progress} if progress else {}
        if connected:
            values['needs'] = None
        if not job.begun:
            values.update(begun=True, runs=job.runs + 1)
        if job.started_at is None:
            values['started_at'] = now
        renewed = job_rows.update(
            session,
            job_id,
            (job_rows.RUNNING,),
            job_rows.held(token),
            job_rows.leased(),
            lease_until=now + clock.milliseconds(seconds),
            **values,
        )
    if not renewed:
        return _lost(job)
    return messages.Grant(granted=True, seconds=seconds)


def _refusal(
    conf: cfg.ConfigOpts, job: job_rows.Job | None, token: int, now: int
) -> messages.Grant | None:
    if (
        job is None
        or job.state != job_rows.RUNNING
        or job.token != token
        or job.lease_until is None
    ):
        return _lost(job)
    if job.cancel_reason is not None:
        return messages.Grant(False, 0.0, 'cancelled', job.cancel_reason)
    if length(conf, job, now) <= 0:
        reason = _heartbeat_lost(job, conf.server.heartbeat_timeout)
        return messages.Grant(False, 0.0, _HEARTBEAT_LOST, reason)
    if job.lease_until <= now:
        return _lost(job)
    return None


def quiet(conf: cfg.ConfigOpts, job: job_rows.Job, now: int) -> bool:
    """Whether a beat is missing already, though it is not over yet.

    A job that is handed out then has no time to begin in.
    """
    return _silent(job, now, conf.server.heartbeat_timeout / 2)


def explain(
    conf: cfg.ConfigOpts, job: job_rows.Job, error: messages.JobError, now: int
) -> messages.JobError:
    """What a proxy's report of a lost lease means, seen from here.

    A proxy only knows that its time was over. If the driver had not beaten
    for long, that is why: a lease never reaches beyond the beat.
    """
    if error.kind != _LEASE_LOST or not quiet(conf, job, now):
        return error
    reason = _heartbeat_lost(job, conf.server.heartbeat_timeout)
    return messages.JobError(_HEARTBEAT_LOST, reason, True)


def _lost(job: job_rows.Job | None) -> messages.Grant:
    state = 'unknown' if job is None else job.state
    return messages.Grant(
        False,
        0.0,
        _LEASE_LOST,
        f'The proxy no longer holds the job, which is {state} at the server.',
    )


def _heartbeat_lost(job: job_rows.Job, seconds: float) -> str:
    return (
        f'No heartbeat from cinder-backup for job {job.id} in '
        f'{seconds:g} s; is it still running?'
    )


@database.retried
def expire(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    latest: int | None = None,
    looked: float = math.inf,
) -> None:
    """End, or take back, every job that waited or ran without a sign.

    :param latest: the instant, in milliseconds, by which that is over; None:
        now by the database's clock
    :param looked: seconds for which this server has been looking; before a
        lease and the margin, the clock may have leapt just before it did
    """
    if looked <= conf.server.lease + MARGIN:
        return
    with catalog.reader() as session:
        if not job_rows.unfinished(session):
            return
    with catalog.writer() as session:
        now = clock.read(session, latest)
        for job in job_rows.unfinished(session):
            if job.state == job_rows.PENDING:
                _expire_pending(session, conf, job, now)
            elif _over(job, now):
                _expire_running(session, conf, job, now)


def _over(job: job_rows.Job, now: int) -> bool:
    assert job.lease_until is not None
    return job.lease_until + clock.milliseconds(MARGIN) < now


def _expire_pending(
    session: orm.Session, conf: cfg.ConfigOpts, job: job_rows.Job, now: int
) -> None:
    if _silent(job, now, conf.server.resume_timeout):
        _desert(session, job, conf.server.resume_timeout)
    elif job.needs == job_rows.ATTACHMENT and now - clock.to_milliseconds(
        job.created_at
    ) > clock.milliseconds(conf.server.attachment_timeout):
        error = jobs.failure(
            'attachment-timeout',
            f'The driver did not say within '
            f'{conf.server.attachment_timeout:g} s where volume '
            f'{job.volume_id} is attached.',
            True,
        )
        jobs.end(session, job, job_rows.FAILED, error)


def _silent(job: job_rows.Job, now: int, seconds: float) -> bool:
    return job.beat_at is not None and (
        job.beat_at + clock.milliseconds(seconds) <= now
    )


def _desert(session: orm.Session, job: job_rows.Job, seconds: float) -> bool:
    reason = _heartbeat_lost(job, seconds)
    error = jobs.failure(_HEARTBEAT_LOST, reason, True)
    return jobs.end(session, job, job_rows.FAILED, error)


def displace(
    session: orm.Session, conf: cfg.ConfigOpts, job: job_rows.Job
) -> bool:
    """End a job that waits for a silent driver; whether it has ended.

    For another one that Cinder has begun since, and that can't be beside it:
    that Cinder did so is a sign that the driver will not come back.
    """
    timeout = conf.server.heartbeat_timeout
    return (
        job.state == job_rows.PENDING
        and _silent(job, clock.read(session), timeout)
        and _desert(session, job, timeout)
    )


def _expire_running(
    session: orm.Session, conf: cfg.ConfigOpts, job: job_rows.Job, now: int
) -> None:
    """Its proxy has stopped by now, whether it knows or not."""
    if job.cancel_reason is not None:
        error = jobs.failure('cancelled', job.cancel_reason)
        jobs.end(session, job, job_rows.CANCELLED, error)
    elif job.begun and job.runs >= conf.server.max_runs:
        error = jobs.failure(
            'proxy-lost',
            f'Proxy {job.proxy} was lost: it did not renew its lease on job '
            f'{job.id}, in {job.runs} runs. Is ebackup-proxy running there?',
            True,
        )
        jobs.end(session, job, job_rows.FAILED, error)
    elif not job.begun and job.vain >= conf.server.max_runs:
        error = jobs.failure(
            'proxy-lost',
            f'Proxy {job.proxy} did not take up job {job.id}, which was '
            f'handed out in vain {job.vain + 1} times. Does an '
            'earlier run of it hang there? See the log of ebackup-proxy.',
            True,
        )
        jobs.end(session, job, job_rows.FAILED, error)
    else:
        LOG.warning(
            'Proxy %s %s %s job %s, which waits for another chance',
            job.proxy,
            'was lost with' if job.begun else 'never took up',
            job.kind,
            job.id,
        )
        jobs.take_back(session, job, in_vain=not job.begun)
