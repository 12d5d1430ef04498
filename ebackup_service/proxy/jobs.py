# SPDX-License-Identifier: Apache-2.0
"""One job from its hand-out to its report."""

from collections.abc import Callable
import dataclasses
import threading
import time
from typing import Any

from oslo_config import cfg
from oslo_log import log

from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.proxy import backup
from ebackup_service.proxy import check
from ebackup_service.proxy import failures
from ebackup_service.proxy import lease
from ebackup_service.proxy import maintenance
from ebackup_service.proxy import rebuild
from ebackup_service.proxy import release
from ebackup_service.proxy import restore
from ebackup_service.proxy import takeover
from ebackup_service.proxy import task as proxy_task
from ebackup_service.repository import errors as repository_errors
from ebackup_service.rpc import clients
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)

_KINDS: dict[str, Callable[[proxy_task.Task], dict[str, Any]]] = {
    'backup': backup.run,
    'restore': restore.run,
    'delete': maintenance.delete,
    'gc': maintenance.collect,
    'check': check.run,
    'create': maintenance.create,
    'takeover': takeover.run,
    'rebuild': rebuild.run,
    'release': release.run,
}

# Of these no other run goes on.
_ENDED = ('failed', 'cancelled')

# Seconds to go on reporting to a server that does not answer. By then it has
# given the job up; what was not reported as done counts as not done.
_REPORT = 60.0
_PAUSE = 0.5


class RunningJob:
    """One job in a thread of its own.

    ``stop`` may be called from any thread, at any time.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        spec: messages.JobSpec,
        server: clients.ServerClient,
        limiter: throttle.Limiter,
        share: places.Share,
        ended: Callable[['RunningJob'], None],
    ) -> None:
        self.spec = spec
        self._server = server
        self._task = proxy_task.Task(conf, spec, server, limiter, share)
        self._keeper = lease.LeaseKeeper(self._task)
        self._ended = ended
        self._given_up = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f'job-{spec.id}', daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self, kind: str, message: str, retryable: bool) -> None:
        """Stop within seconds; the report says why."""
        self._keeper.stop_job(kind, message, retryable)

    def connect(self, connection: messages.Connection) -> None:
        """Here is how the volume is reached."""
        self._task.handover.give(connection)

    def wind_down(self, kind: str, message: str) -> None:
        """Stop where another run can go on, if there is such a place."""
        self._keeper.wind_down(kind, message, True)

    def give_up(self) -> None:
        """Report no longer than once more: the process ends."""
        self._given_up.set()

    def join(self, seconds: float) -> bool:
        """Whether the job has ended, within that time."""
        self._thread.join(max(seconds, 0.0))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            if self._keeper.begin():
                outcome = self._work()
                if self._report(outcome):
                    self._clean_up(outcome)
            elif self._keeper.stop_reason is not None:
                self._decline(self._keeper.stop_reason)
            else:
                LOG.warning('Job %s not begun: no server', self.spec.id)
        except Exception:
            LOG.exception('Job %s ended without a report', self.spec.id)
        finally:
            self._keeper.end()
            self._ended(self)

    def _work(self) -> messages.Outcome:
        LOG.info('%s job %s begins', self.spec.kind, self.spec.id)
        try:
            result = _KINDS[self.spec.kind](self._task)
            outcome = messages.Outcome('succeeded', result)
        except Exception as error:
            outcome = failures.outcome(
                self.spec, error, self._keeper.stop_reason
            )
        LOG.log(
            log.WARNING if outcome.error else log.INFO,
            '%s job %s %s%s',
            self.spec.kind,
            self.spec.id,
            outcome.state,
            f': {outcome.error.message}' if outcome.error else '',
        )
        return outcome

    def _clean_up(self, outcome: messages.Outcome) -> None:
        """Free at once what nobody will go on with.

        Only when the server has ended the job for good. What goes wrong is
        left to collection.
        """
        if self.spec.kind != 'backup' or outcome.state not in _ENDED:
            return
        try:
            backup.discard(self._task)
        except repository_errors.RepositoryError as error:
            LOG.warning(
                'What job %s has stored is left to the next collection: %s',
                self.spec.id,
                error,
            )

    def _decline(self, reason: messages.JobError) -> None:
        """Nothing was begun: a proxy that stops gives the job back."""
        if reason.kind != 'lease-lost':
            self._report(
                messages.Outcome(failures.state(reason), None, reason)
            )

    def _report(self, outcome: messages.Outcome) -> bool:
        """Tell the server, while the lease is still being kept.

        Whether it is settled that the run ended like this.
        """
        outcome = dataclasses.replace(outcome, progress=self._task.snapshot())
        end = time.monotonic() + _REPORT
        while True:
            try:
                decision = self._server.finish(
                    self.spec.id, self.spec.token, outcome
                )
            except rpc_errors.PeerUnreachable as error:
                LOG.warning('Job %s not reported yet: %s', self.spec.id, error)
            else:
                if not decision.accepted:
                    LOG.warning(
                        'Job %s was given up by the server before it %s: %s',
                        self.spec.id,
                        outcome.state,
                        decision.reason,
                    )
                return decision.accepted
            if time.monotonic() >= end or self._given_up.wait(_PAUSE):
                LOG.error('Job %s could not be reported', self.spec.id)
                return False
