# SPDX-License-Identifier: Apache-2.0
"""Storages that have refused credentials are left alone for a while.

Who tries wrong credentials again and again gets an account locked, perhaps
one that Cinder has, too. So jobs of such a storage fail instead of logging in,
until a pause is over that grows with each time, or there are other
credentials. Jobs that were handed out before the first refusal was reported
do log in; proxies have no more of them at once than they have room for.

Where the catalog has the credentials, and says where the storage is, all
proxies come with the same to the same. Otherwise a host has for itself what
may be wrong there alone, such as a keyring: then only that host's proxy logs
in no more, and the jobs are for others.
"""

from collections.abc import Collection
import dataclasses
import datetime
from typing import Any

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.production import errors as production_errors
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import refusal as refusal_rows
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import volume_storages

LOG = log.getLogger(__name__)

KIND = production_errors.CredentialsRefused.kind
EVERYWHERE = refusal_rows.EVERYWHERE

# Seconds that a pause grows up to, if it is not longer from the beginning.
_LONGEST = 3600.0
# What Cinder keeps of a message.
_LENGTH = 255


def longest(conf: cfg.ConfigOpts) -> float:
    """Seconds that a storage is left alone at most."""
    return max(float(conf.server.login_pause), _LONGEST)


def _pause(conf: cfg.ConfigOpts, refusals: int) -> float:
    first = float(conf.server.login_pause)
    return min(first * 2 ** min(refusals - 1, 20), longest(conf))


def learn(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    job: job_rows.Job,
    outcome: messages.Outcome,
) -> None:
    """What the end of a job says of the credentials that it had.

    :param job: as it was before its end
    """
    storage = volume_storages.of_job(session, job)
    if storage is None:
        return
    if outcome.error is not None and outcome.error.kind == KIND:
        _refused(session, conf, storage, job)
    elif outcome.state == job_rows.SUCCEEDED and _logged_in(job, outcome):
        admitted(session, storage, job)


def _logged_in(job: job_rows.Job, outcome: messages.Outcome) -> bool:
    """Whether it has: there may have been nothing left to be removed."""
    result: dict[str, Any] = outcome.result or {}
    return job.kind != job_rows.RELEASE or bool(result.get('released'))


def _refused(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    storage: storage_rows.Storage,
    job: job_rows.Job,
) -> None:
    """Note it, once for all jobs that were under way at the same time."""
    assert job.proxy is not None
    handed = job.handed_at or 0
    if handed <= clock.to_milliseconds(storage.updated_at):
        # It may have had others than there are now.
        return
    host = EVERYWHERE if volume_storages.alike(storage) else job.proxy
    known = storage.refusals.get(host)
    if known and handed < clock.to_milliseconds(known.login_after):
        return
    count = known.count + 1 if known else 1
    pause = _pause(conf, count)
    if refusal_rows.note(
        session, storage.id, storage.updated_at, host, count, pause
    ):
        LOG.warning(
            'Storage %s refuses %s: nobody logs in to it%s for %g s, or until '
            '%s',
            storage.name,
            _whose(host),
            ' from there' if host else '',
            pause,
            'its proxy is restarted' if host else 'they are changed',
        )


def admitted(
    session: orm.Session, storage: storage_rows.Storage, job: job_rows.Job
) -> None:
    """A job that was handed out since the first refusal has logged in."""
    for host in (EVERYWHERE, job.proxy or EVERYWHERE):
        known = storage.refusals.get(host)
        if known and (job.handed_at or 0) > clock.to_milliseconds(known.since):
            refusal_rows.forget(
                session,
                models.Refusal.storage_id == storage.id,
                models.Refusal.host == host,
            )
            LOG.info('Storage %s takes %s again', storage.name, _whose(host))


def stopped(session: orm.Session, host: str) -> None:
    """The proxy of a host has ended: another one may find it corrected."""
    if host != EVERYWHERE:
        refusal_rows.forget(session, models.Refusal.host == host)


def _whose(host: str) -> str:
    return f'what host {host} has' if host else 'its credentials'


def resting(session: orm.Session) -> dict[str, storage_rows.Storage]:
    """Storages that somebody may not log in to now, by id.

    Each with those of its refusals that last.
    """
    now = clock.read(session)
    found = {}
    for storage in storage_rows.every(session):
        lasting = {
            host: known
            for host, known in storage.refusals.items()
            if now < clock.to_milliseconds(known.login_after)
        }
        if lasting:
            found[storage.id] = dataclasses.replace(storage, refusals=lasting)
    return found


def everywhere(storage: storage_rows.Storage) -> bool:
    """Whether nobody may log in to one that rests, from whichever host."""
    return EVERYWHERE in storage.refusals


def explain(storage: storage_rows.Storage) -> str:
    """Why a job of a storage that is left alone can't be done."""
    known = storage.refusals[EVERYWHERE]
    how = f'openstack ebackup storage set {storage.name} --credentials FILE'
    if storage.configured:
        how = f'section [{storage.name}], and restart the server'
    return (
        f'Storage {storage.name!r} refuses its credentials since '
        f'{_text(known.since)}; it is not asked again before '
        f'{_text(known.login_after)}. Correct them: {how}'
    )[:_LENGTH]


def explain_hosts(
    storage: storage_rows.Storage, hosts: Collection[str]
) -> str:
    """Why none of these hosts, which reach a storage, can have a job of it.

    Each is left alone. The one that is so for the shortest time is named.
    """
    host = min(hosts, key=lambda host: storage.refusals[host].login_after)
    known = storage.refusals[host]
    others = f' (and {len(hosts) - 1} more)' if len(hosts) > 1 else ''
    return (
        f'Storage {storage.name!r} refuses the credentials of host '
        f'{host}{others} since {_text(known.since)}; it is not asked again '
        f'before {_text(known.login_after)}. Correct keyring or '
        'configuration there, then restart its proxy'
    )[:_LENGTH]


def _text(instant: datetime.datetime) -> str:
    return f'{instant:%Y-%m-%dT%H:%M:%SZ}'
