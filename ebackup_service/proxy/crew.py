# SPDX-License-Identifier: Apache-2.0
"""The jobs that run at this proxy."""

from collections.abc import Iterable
import threading
import time

from oslo_config import cfg
from oslo_log import log

from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.proxy import jobs
from ebackup_service.proxy import memory
from ebackup_service.rpc import clients
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)

# Of the time that running jobs get, this part passes before backups are to end
# at a checkpoint: what is left must suffice for the leaf that they are at.
_PATIENCE = 0.25
# Seconds for stopped jobs to close what they have open and to report.
_STOP_SECONDS = 8.0


class Crew:
    """Starts jobs, finds them again, stops them all.

    Called by the listener's threads and by the jobs' own. ``_lock`` protects
    ``_jobs`` and ``_stopping``.

    :ivar max_jobs: that may run at a time and move data

    :param kinds: of the storages that volumes may be on
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        server: clients.ServerClient,
        kinds: Iterable[str],
    ) -> None:
        self._conf = conf
        self._server = server
        self._limiter = throttle.Limiter(conf.proxy.max_bytes_per_second)
        plan = memory.plan(conf, kinds)
        self.max_jobs = plan.jobs
        if plan.jobs < conf.proxy.max_jobs:
            LOG.warning(
                '[proxy]memory suffices for %s jobs at a time, not for the '
                '%s of [proxy]max_jobs',
                plan.jobs,
                conf.proxy.max_jobs,
            )
        if plan.needed > conf.proxy.memory:
            LOG.warning(
                '[proxy]memory does not suffice for one job on any storage '
                'that this host reaches, which takes %s bytes',
                plan.needed,
            )
        self._places = places.Places(plan.room, memory.WORKER)
        self._lock = threading.Lock()
        self._jobs: dict[str, jobs.RunningJob] = {}
        self._stopping = False

    def start(self, spec: messages.JobSpec) -> None:
        """Begin a job, once: a message may come twice.

        Not beside an earlier run of it that hangs: what that has open would be
        in the way. The server hands it out again, and says in the end which
        proxy does not take it up. One that is stopping gives the job back.
        """
        job = jobs.RunningJob(
            self._conf,
            spec,
            self._server,
            self._limiter,
            self._places.share(),
            self._ended,
        )
        with self._lock:
            known = self._jobs.get(spec.id)
            if known is not None:
                LOG.warning(
                    'Job %s is not begun: %s',
                    spec.id,
                    'it runs already'
                    if known.spec.token == spec.token
                    else 'another run of it has not ended here',
                )
                return
            if self._stopping:
                job.stop('proxy-stopping', _stopping(self._conf), True)
            job.start()
            self._jobs[spec.id] = job

    def cancel(self, job_id: str, token: int, reason: str) -> None:
        with self._lock:
            job = self._jobs.get(job_id)
        if job is not None and job.spec.token == token:
            job.stop('cancelled', reason, False)

    def connect(
        self, job_id: str, token: int, connection: messages.Connection
    ) -> messages.Decision:
        """Give a job the connection that it waits for."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None or job.spec.token != token:
            return messages.Decision(
                False,
                f'Proxy {self._conf.proxy.host} does not have job {job_id} '
                'now.',
            )
        job.connect(connection)
        return messages.Decision(True)

    def ids(self) -> list[str]:
        with self._lock:
            return sorted(self._jobs)

    @property
    def stopping(self) -> bool:
        return self._stopping

    def close(self) -> None:
        """From now on give back what comes; what runs goes on."""
        with self._lock:
            self._stopping = True

    def finish(self, seconds: float) -> None:
        """Wait that long for running jobs, stop those that remain.

        Backups that take longer end at a checkpoint meanwhile.
        """
        self._join(seconds * _PATIENCE)
        for job in self._running():
            job.wind_down('proxy-stopping', _stopping(self._conf))
        self._join(seconds * (1 - _PATIENCE))
        for job in self._running():
            LOG.warning('Job %s is stopped with the proxy', job.spec.id)
            job.stop('proxy-stopping', _stopping(self._conf), True)
        self._join(_STOP_SECONDS)
        for job in self._running():
            LOG.error('Job %s did not stop in time', job.spec.id)
            job.give_up()

    def _join(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for job in self._running():
            job.join(end - time.monotonic())

    def _running(self) -> list[jobs.RunningJob]:
        with self._lock:
            return list(self._jobs.values())

    def _ended(self, job: jobs.RunningJob) -> None:
        with self._lock:
            del self._jobs[job.spec.id]


def _stopping(conf: cfg.ConfigOpts) -> str:
    return f'Proxy {conf.proxy.host} was stopped by its operator.'
