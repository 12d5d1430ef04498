# SPDX-License-Identifier: Apache-2.0
"""Connections by which Cinder exports volumes to proxies.

The driver, inside Cinder, makes and ends them; section "Exports to proxies"
of the protocols has the rules. What a connection consists of has secrets in
it: it goes to the proxy, and is kept nowhere.
"""

from collections.abc import Callable
from collections.abc import Iterable
import json
from typing import Any

from oslo_config import cfg
from sqlalchemy import orm

from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import connection as connection_rows
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import proxy as proxy_rows
from ebackup_service.server.catalog import service
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import volume_storages

KIND = 'connector'

# Bytes of a connection as JSON; the largest known has some KiB, for sixteen
# paths.
LARGEST = 64 << 10

# Seconds that a driver has to end what is left of a job. It takes less by
# itself, but Cinder may do later what it has no answer to.
_ENDING = 120.0

# Hands a connection over: host, id and token of the job, the connection.
Connect = Callable[[str, str, int, dict[str, Any]], messages.Decision]


def expected(
    session: orm.Session,
    job: job_rows.Job,
    storage: storage_rows.Storage,
    host: str,
) -> dict[str, Any]:
    """What is known of a job's attachment when a proxy is to have the job."""
    exported = volume_storages.volume(session, job)['exported']
    known = {proxy.host: proxy for proxy in proxy_rows.every(session)}
    connector = known[host].capabilities.get('connector') or {}
    return {
        'kind': KIND,
        'host': host,
        'connector': {
            **connector,
            'multipath': bool(storage.settings.get('multipath')),
        },
        'exported': {'type': exported['type'], 'id': exported['id']},
    }


def record(
    session: orm.Session, job: job_rows.Job, attachment: dict[str, Any]
) -> None:
    """Note what the driver is about to have exported."""
    assert job.volume_id is not None
    connection_rows.insert(
        session,
        connection_rows.Connection(
            job_id=job.id,
            volume_id=job.volume_id,
            exported_type=attachment['exported']['type'],
            exported_id=attachment['exported']['id'],
            proxy=attachment['host'],
            connector=attachment['connector'],
        ),
    )


def hand_over(
    catalog: database.Catalog,
    connect: Connect,
    job_id: str,
    host: str,
    connection: dict[str, Any],
) -> job_rows.Job:
    """Give a job's proxy the connection; the same again does no harm.

    It counts as a beat.

    :raises errors.NotFound: no such job.
    :raises errors.Refused: it is too large to be one (``connection-size``).
    :raises errors.Conflict: the job has ended (``job-ended``), needs none now
        (``attachment-unneeded``), or is at another proxy
        (``attachment-differs``); or its proxy does not take it
        (``connection-refused``): look at the job again.
    :raises errors.Unavailable: the proxy does not answer.
    """
    if len(json.dumps(connection)) > LARGEST:
        raise errors.Refused(
            'connection-size',
            f'The connection has more than {LARGEST} bytes.',
        )
    job = _needing(catalog, job_id, host)
    if job.needs is None:
        return job
    try:
        decision = connect(host, job_id, job.token, connection)
    except rpc_errors.PeerUnreachable:
        # What it says may quote what was sent.
        raise errors.Unavailable(
            'proxy-unavailable',
            f'Proxy {host} does not answer: is ebackup-proxy running there?',
        ) from None
    if not decision.accepted:
        raise errors.Conflict('connection-refused', decision.reason)
    return _handed_over(catalog, job_id, job.token)


@database.retried
def _needing(
    catalog: database.Catalog, job_id: str, host: str
) -> job_rows.Job:
    """A running job that needs the connection, or has it already."""
    with catalog.writer() as session:
        # The driver is alive now: the lease for which the proxy asks when it
        # has the connection counts from here.
        job_rows.update(
            session,
            job_id,
            (job_rows.RUNNING,),
            models.Job.needs == job_rows.CONNECTION,
            beat_at=clock.now(),
        )
        job = jobs.find(session, job_id)
    if (
        job.state != job_rows.RUNNING
        or (job.attachment or {}).get('kind') != KIND
    ):
        raise jobs.unattachable(job)
    assert job.attachment is not None
    if job.attachment['host'] != host:
        raise errors.Conflict(
            'attachment-differs',
            f'Job {job.id} is at proxy {job.attachment["host"]}.',
        )
    return job


@database.retried
def _handed_over(
    catalog: database.Catalog, job_id: str, token: int
) -> job_rows.Job:
    with catalog.writer() as session:
        job_rows.update(
            session,
            job_id,
            (job_rows.RUNNING,),
            job_rows.held(token),
            models.Job.needs == job_rows.CONNECTION,
            needs=None,
        )
        return jobs.find(session, job_id)


def patience(conf: cfg.ConfigOpts) -> float:
    """Seconds after its end for which a job's driver may be about its exports.

    It has to notice first, by its next beat, and then may have to wait for
    Cinder.
    """
    seconds: float = conf.server.heartbeat_timeout
    return seconds + conf.server.attachment_timeout


def of_jobs(
    catalog: database.Catalog, jobs_: Iterable[job_rows.Job]
) -> dict[str, list[connection_rows.Connection]]:
    """What Cinder may export for some jobs, by the id of each."""
    found: dict[str, list[connection_rows.Connection]]
    found = {job.id: [] for job in jobs_}
    with catalog.reader() as session:
        for one in connection_rows.of_jobs(session, found):
            found[one.job_id].append(one)
    return found


def left(
    catalog: database.Catalog, volume_id: str | None
) -> list[connection_rows.Connection]:
    """What was exported for jobs of a volume that ended, and may be still.

    Nothing of a job if an unfinished one has some of the same: to end it
    would end that one's. All of a job, or nothing: its rows go together.
    """
    if volume_id is None:
        return []
    with catalog.reader() as session:
        found = connection_rows.of_volume(session, volume_id)
        running = {
            job.id for job in job_rows.unfinished(session, volume_id=volume_id)
        }
    used = {_export(one) for one in found if one.job_id in running}
    kept = {one.job_id for one in found if _export(one) in used}
    return [one for one in found if one.job_id not in kept]


def _export(row: connection_rows.Connection) -> tuple[str, str, str]:
    """What is the same to Cinder, for whichever job."""
    return row.exported_type, row.exported_id, row.proxy


@database.retried
def claim(
    catalog: database.Catalog, job_id: str
) -> list[connection_rows.Connection]:
    """What is left of an ended job, for a driver that ends it now.

    What that would end is exported to nobody anew before the driver has said
    that it is done, or its time is over.

    :raises errors.Conflict: the job goes on (``job-unfinished``), another one
        uses some of it or waits for the volume (``export-in-use``), or another
        driver is about it (``export-ending``).
    """
    with catalog.writer() as session:
        # No job is handed out meanwhile.
        service.lock(session)
        _check_ended(session, job_id)
        found = connection_rows.of_jobs(session, [job_id])
        if any(connection_rows.in_use(session, one) for one in found):
            raise errors.Conflict(
                'export-in-use',
                f'Another job uses what was exported for job {job_id}.',
            )
        if _waited_for(session, found):
            # What can't be ended is tried again and again: a job that was
            # held back once must not be so for ever.
            raise errors.Conflict(
                'export-in-use',
                'Another job waits for the volume of what was exported for '
                f'job {job_id}.',
            )
        if any(one.job_id == job_id for one in _ending(session)):
            raise errors.Conflict(
                'export-ending',
                f'A driver is ending what was exported for job {job_id}, or '
                'was just about it.',
            )
        connection_rows.begin_to_end(session, job_id)
    return found


def held_back(session: orm.Session, now: int) -> set[str]:
    """Volumes of which nothing is exported now: some of that is being ended.

    The caller holds ``service.lock``.
    """
    return _volumes(_ending(session, now))


def _volumes(found: Iterable[connection_rows.Connection]) -> set[str]:
    # What was exported may be a clone, which is a volume by itself.
    return {
        volume_id
        for one in found
        for volume_id in (one.volume_id, one.exported_id)
    }


def _waited_for(
    session: orm.Session, found: Iterable[connection_rows.Connection]
) -> bool:
    """Whether there is a job that would be held back."""
    volumes = _volumes(found)
    waiting = [
        job
        for job in job_rows.unfinished(session, state=job_rows.PENDING)
        if job.volume_id in volumes
    ]
    return KIND in volume_storages.kinds(session, waiting).values()


def _ending(
    session: orm.Session, now: int | None = None
) -> list[connection_rows.Connection]:
    now = clock.read(session) if now is None else now
    return connection_rows.ending(session, now - clock.milliseconds(_ENDING))


@database.retried
def forget(catalog: database.Catalog, job_id: str) -> None:
    """All that was exported for a job has been ended; may be said again.

    :raises errors.Conflict: the job goes on (``job-unfinished``).
    """
    with catalog.writer() as session:
        _check_ended(session, job_id)
        connection_rows.remove(session, job_id)


def _check_ended(session: orm.Session, job_id: str) -> None:
    job = job_rows.get(session, job_id)
    if job is not None and not job.finished:
        raise errors.Conflict(
            'job-unfinished', f'Job {job_id} is {job.state}.'
        )
