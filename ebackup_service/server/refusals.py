# SPDX-License-Identifier: Apache-2.0
"""Storages that have refused their credentials are left alone for a while.

Who tries wrong credentials again and again gets an account locked, perhaps
one that Cinder has, too. So jobs of such a storage fail instead of logging in,
until a pause is over that grows with each time, or there are other
credentials. Jobs that were handed out before the first refusal was reported
do log in; proxies have no more of them at once than they have room for.

Only credentials that are in the catalog: all proxies have the same ones. What
a host has for itself, such as a keyring, may be wrong there alone.
"""

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
        _refused(session, conf, storage, job.handed_at or 0)
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
    handed: int,
) -> None:
    """Note it, once for all jobs that were under way at the same time."""
    if storage.credentials is None:
        return
    if handed <= clock.to_milliseconds(storage.updated_at):
        # It may have had others than there are now.
        return
    known = storage.refusals.get(EVERYWHERE)
    if known and handed < clock.to_milliseconds(known.login_after):
        return
    count = known.count + 1 if known else 1
    pause = _pause(conf, count)
    if refusal_rows.note(
        session, storage.id, storage.updated_at, EVERYWHERE, count, pause
    ):
        LOG.warning(
            'Storage %s refuses its credentials: nobody logs in to it for '
            '%g s, or until they are changed',
            storage.name,
            pause,
        )


def admitted(
    session: orm.Session, storage: storage_rows.Storage, job: job_rows.Job
) -> None:
    """A job that was handed out since the first refusal has logged in."""
    known = storage.refusals.get(EVERYWHERE)
    if known and (job.handed_at or 0) > clock.to_milliseconds(known.since):
        refusal_rows.forget(session, models.Refusal.storage_id == storage.id)
        LOG.info('Storage %s takes its credentials again', storage.name)


def resting(session: orm.Session) -> dict[str, storage_rows.Storage]:
    """Storages that nobody may log in to now, by id."""
    now = clock.read(session)
    return {
        storage.id: storage
        for storage in storage_rows.every(session)
        for known in storage.refusals.values()
        if now < clock.to_milliseconds(known.login_after)
    }


def explain(storage: storage_rows.Storage) -> str:
    """Why a job of a storage that is left alone can't be done."""
    known = storage.refusals[EVERYWHERE]
    how = f'openstack ebackup storage set {storage.name} --credentials FILE'
    if storage.configured:
        how = f'section [{storage.name}], and restart the server'
    return (
        f'Storage {storage.name!r} refuses its credentials since '
        f'{known.since:%Y-%m-%dT%H:%M:%SZ}; it is not asked again before '
        f'{known.login_after:%Y-%m-%dT%H:%M:%SZ}. Correct them: {how}'
    )[:_LENGTH]
