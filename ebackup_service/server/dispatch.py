# SPDX-License-Identifier: Apache-2.0
"""Hands pending jobs to proxies that reach both ends and have room."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import math

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.rpc import clients
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import proxy as proxy_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import connections
from ebackup_service.server import handout
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import refusals
from ebackup_service.server import volume_storages

LOG = log.getLogger(__name__)

# Two of these in one repository would get in each other's way: a check must
# not look for what a collection is just removing.
_EXCLUSIVE_KINDS = (
    job_rows.GC,
    job_rows.CHECK,
    job_rows.TAKEOVER,
    job_rows.REBUILD,
)


def dispatch(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    proxies: clients.ProxyClient,
    latest: int | None = None,
    looked: float = math.inf,
) -> None:
    """Hand out what can be handed out; pass on what is to be cancelled.

    A message that is lost costs time only: the job's lease runs out before
    it began, and it waits again, if that has not happened too often.

    :param latest: the instant, in milliseconds, as of which jobs wait and
        proxies are there; None: now by the database's clock
    :param looked: seconds for which this server has been looking; before
        proxy_timeout, there may be proxies that it could not hear of yet
    """
    with catalog.reader() as session:
        unfinished = job_rows.unfinished(session)
    for job in unfinished:
        if job.state == job_rows.RUNNING and job.cancel_reason is not None:
            _send_cancel(proxies, job)
    if any(job.state == job_rows.PENDING for job in unfinished):
        for host, spec in assign(catalog, conf, latest, looked):
            _send(proxies, host, spec)


def _send(
    proxies: clients.ProxyClient, host: str, spec: messages.JobSpec
) -> None:
    LOG.info('%s job %s goes to proxy %s', spec.kind, spec.id, host)
    try:
        proxies.run_job(host, spec)
    except rpc_errors.PeerUnreachable as error:
        LOG.warning('Job %s could not be handed out: %s', spec.id, error)


def _send_cancel(proxies: clients.ProxyClient, job: job_rows.Job) -> None:
    assert job.proxy is not None and job.cancel_reason is not None
    try:
        proxies.cancel_job(job.proxy, job.id, job.token, job.cancel_reason)
    except rpc_errors.PeerUnreachable as error:
        # its next renewal tells it as well
        LOG.warning('Job %s could not be cancelled yet: %s', job.id, error)


@database.retried
def assign(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    latest: int | None = None,
    looked: float = math.inf,
) -> list[tuple[str, messages.JobSpec]]:
    """Take what can be taken now; (host, job) pairs still to be sent."""
    with catalog.writer() as session:
        owner = service.lock(session)
        now = clock.read(session, latest)
        unfinished = job_rows.unfinished(session)
        proxies = proxy_rows.every(session, latest)
        kinds = volume_storages.kinds(session, unfinished)
        board = _Board(conf, proxies, unfinished, kinds, now)
        resting = refusals.resting(session)
        held_back = connections.held_back(session, now)
        assigned = []
        for job in unfinished:
            if not board.ready(job):
                continue
            storage = resting.get(job.parameters.get('storage', ''))
            if storage is not None and refusals.everywhere(storage):
                _fail_refused(session, job, refusals.explain(storage))
                continue
            if (
                kinds[job.id] == connections.KIND
                and job.volume_id in held_back
            ):
                continue
            hosts = board.hosts(job)
            refused = storage.refusals if storage else ()
            host = next((h for h in hosts if h.name not in refused), None)
            if host is None and hosts and storage is not None:
                # There may be others, of which this server has yet to hear.
                if looked > conf.server.proxy_timeout and not any(
                    _may_come_back(conf, proxy, kinds[job.id])
                    for proxy in proxies
                    if proxy.host not in refused
                ):
                    why = refusals.explain_hosts(
                        storage, [host.name for host in hosts]
                    )
                    _fail_refused(session, job, why)
            elif host is None:
                _fail_without_proxy(
                    session, conf, job, kinds[job.id], proxies, now, looked
                )
            elif board.room(job, host):
                spec = handout.hand_out(
                    session, conf, owner, job, host.name, now
                )
                if spec is not None:
                    board.take(job, host)
                    assigned.append((host.name, spec))
        return assigned


@dataclasses.dataclass
class _Host:
    name: str
    max_jobs: int
    production: list[str]
    # running jobs that move data, and those that only maintain
    data: int = 0
    upkeep: int = 0


class _Board:
    """Who has room for what, while one transaction assigns."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        proxies: Iterable[proxy_rows.Proxy],
        unfinished: Iterable[job_rows.Job],
        kinds: Mapping[str, str | None],
        now: int,
    ) -> None:
        """:param kinds: of production storage, for each unfinished job"""
        self._conf = conf
        self._kinds = kinds
        self._now = now
        self._max_jobs = conf.server.max_jobs
        self._hosts = {
            proxy.host: _Host(
                proxy.host,
                proxy.capabilities.get('max_jobs', 1),
                proxy.capabilities.get('production', []),
            )
            for proxy in proxies
            if proxy.age < conf.server.proxy_timeout
            and not proxy.capabilities.get('stopping')
            and proxy.understood
        }
        self._data = 0
        self._exclusive: set[str] = set()
        self._backups = {
            job.image_id for job in unfinished if job.kind == job_rows.BACKUP
        }
        for job in unfinished:
            if job.state == job_rows.RUNNING:
                self.take(job, self._hosts.get(job.proxy or ''))

    def take(self, job: job_rows.Job, host: _Host | None) -> None:
        if job.kind in _EXCLUSIVE_KINDS:
            self._exclusive.add(job.repository_id)
        if job.kind in job_rows.DATA_KINDS:
            self._data += 1
            if host is not None:
                host.data += 1
        elif host is not None:
            host.upkeep += 1

    def ready(self, job: job_rows.Job) -> bool:
        """Whether nothing but a proxy is missing."""
        if (
            job.state != job_rows.PENDING
            or job.needs is not None
            or (job.ready_at or 0) > self._now
            or leases.quiet(self._conf, job, self._now)
        ):
            return False
        if job.kind == job_rows.DELETE:
            # the backup of this image is being cancelled
            return job.image_id not in self._backups
        if job.kind in _EXCLUSIVE_KINDS:
            return job.repository_id not in self._exclusive
        return True

    def hosts(self, job: job_rows.Job) -> list[_Host]:
        """Those that reach what the job needs, the least loaded one first."""
        kind = self._kinds[job.id]
        if job.kind in job_rows.DATA_KINDS and kind is None:
            return []
        wanted = (job.attachment or {}).get('host')
        return sorted(
            (
                host
                for host in self._hosts.values()
                if wanted in (None, host.name)
                and (kind is None or kind in host.production)
            ),
            key=self._load(job),
        )

    @staticmethod
    def _load(job: job_rows.Job) -> Callable[[_Host], int]:
        if job.kind in job_rows.DATA_KINDS:
            return lambda host: host.data
        return lambda host: host.upkeep

    def room(self, job: job_rows.Job, host: _Host) -> bool:
        # Upkeep has room of its own, or a long collection would keep
        # backups waiting.
        if job.kind not in job_rows.DATA_KINDS:
            return host.upkeep < host.max_jobs
        if self._max_jobs and self._data >= self._max_jobs:
            return False
        return host.data < host.max_jobs


def _fail_refused(
    session: orm.Session, job: job_rows.Job, message: str
) -> None:
    failure = jobs.failure(refusals.KIND, message)
    jobs.end(session, job, job_rows.FAILED, failure)


def _may_come_back(
    conf: cfg.ConfigOpts, proxy: proxy_rows.Proxy, kind: str | None
) -> bool:
    """Whether one that reaches such volumes is away, but not for long yet."""
    away = proxy.age >= conf.server.proxy_timeout or bool(
        proxy.capabilities.get('stopping')
    )
    return (
        away
        and proxy.age <= conf.server.resume_timeout
        and kind in proxy.capabilities.get('production', [])
    )


def _fail_without_proxy(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    job: job_rows.Job,
    kind: str | None,
    proxies: Iterable[proxy_rows.Proxy],
    now: int,
    looked: float,
) -> None:
    wanted = (job.attachment or {}).get('host')
    waited = (now - (job.ready_at or now)) / 1000
    timeout = conf.server.proxy_timeout
    if job.runs or any(
        _fell_silent(proxy, waited, timeout)
        for proxy in proxies
        if wanted in (None, proxy.host)
        and (kind is None or kind in proxy.capabilities.get('production', []))
    ):
        timeout = conf.server.resume_timeout
    # those that may come back; of one that is there nothing is to be awaited
    away = [
        proxy.age
        for proxy in proxies
        if wanted in (None, proxy.host)
        and (proxy.age >= timeout or proxy.capabilities.get('stopping'))
    ]
    if min([waited, *away]) <= timeout:
        return
    if looked <= conf.server.proxy_timeout:
        return
    alive = [proxy for proxy in proxies if proxy.age < timeout]
    outdated = [proxy for proxy in alive if not proxy.understood]
    if outdated and (wanted is None or wanted in {p.host for p in outdated}):
        message = (
            f'The proxy on host {wanted or outdated[0].host} is of version '
            f'{outdated[0].version}, which this server does not work with: '
            'upgrade it.'
        )
    elif any(wanted == proxy.host for proxy in alive):
        message = (
            f'The proxy on host {wanted} can not reach volumes of kind '
            f'{kind}: install what provides that there.'
        )
    elif wanted is None and alive and kind == connections.KIND:
        message = (
            'No proxy can attach volumes that Cinder exports: set [proxy] '
            'privsep_helper on the host of one, or, for iSCSI alone, [proxy] '
            'iscsi_initiator = qemu. If one has that, its log says what else '
            'is missing.'
        )
    elif wanted is None and alive and kind is not None:
        message = (
            f'No proxy can reach volumes on a storage of kind {kind}: install '
            'what provides that where one of them runs.'
        )
    elif wanted is None:
        message = (
            'No proxy runs anywhere: start ebackup-proxy on at least one '
            'host that reaches the repository.'
        )
    else:
        message = (
            f'No proxy runs on host {wanted}: install ebackup-proxy there '
            f'and start it with [proxy]host = {wanted}, or register a storage '
            'of kind connector for the back end of the volume.'
        )
    jobs.end(
        session, job, job_rows.FAILED, jobs.failure('no-proxy', message, True)
    )


def _fell_silent(
    proxy: proxy_rows.Proxy, waited: float, timeout: float
) -> bool:
    """Whether a proxy was there in the seconds that a job has waited.

    Its silence may be that of the bus, the database, or all servers, since.
    """
    there = proxy.understood and not proxy.capabilities.get('stopping')
    return there and timeout <= proxy.age < waited + timeout
