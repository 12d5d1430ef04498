# SPDX-License-Identifier: Apache-2.0
"""Keeps a job's lease while it runs, and stops the job when it can't."""

import threading
import time

from oslo_log import log

from ebackup_service.proxy import task as proxy_task
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)

# Seconds between two renewals, at most; less when less was granted.
_INTERVAL = 2.0
_SHARE = 5


class LeaseKeeper:
    """One thread that renews, beside the one that works.

    The right to go on is counted from before the request was sent, by this
    host's monotonic clock: the server counts from when it got it, which is
    later, so the job stops here before the lease is over there. A server that
    does not answer grants nothing.
    """

    def __init__(self, task: proxy_task.Task) -> None:
        self._task = task
        self._stopped = threading.Event()
        self._seconds = 0.0
        self._refused = False
        self._stop_lock = threading.Lock()
        self._stop: messages.JobError | None = None
        self._thread = threading.Thread(
            target=self._keep, name=f'lease-{task.spec.id}', daemon=True
        )

    @property
    def stop_reason(self) -> messages.JobError | None:
        """Why the job was told to stop; None while it may go on."""
        return self._stop

    def stop_job(self, kind: str, message: str, retryable: bool) -> None:
        """Tell the job to stop; the first reason is the one reported."""
        self._note(kind, message, retryable)
        self._task.control.cancel(message)

    def wind_down(self, kind: str, message: str, retryable: bool) -> None:
        """Tell the job to stop where another run can go on."""
        self._note(kind, message, retryable)
        self._task.control.wind_down(message)

    def begin(self) -> bool:
        """Ask for the first lease, as long as the server waits for that.

        False: the job must not begin; ``stop_reason`` says why, None that
        the server could not be asked and will have given the job up.
        """
        end = time.monotonic() + self._task.spec.lease
        while self._stop is None and time.monotonic() < end:
            if self._renew():
                self._thread.start()
                return True
            self._stopped.wait(_INTERVAL / _SHARE)
        return False

    def end(self) -> None:
        """Renew no more; a request under way may still be answered."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_INTERVAL)

    def _note(self, kind: str, message: str, retryable: bool) -> None:
        with self._stop_lock:
            if self._stop is None:
                self._stop = messages.JobError(kind, message[:255], retryable)

    def _keep(self) -> None:
        while not self._stopped.wait(min(_INTERVAL, self._seconds / _SHARE)):
            self._renew()
            if self._refused:
                return

    def _renew(self) -> bool:
        task = self._task
        asked = time.monotonic()
        progress = task.snapshot()
        try:
            grant = task.server.renew(task.spec.id, task.spec.token, progress)
        except rpc_errors.PeerUnreachable as error:
            LOG.warning('Job %s: %s', task.spec.id, error)
            return False
        if grant.granted:
            self._seconds = grant.seconds
            task.control.extend(asked + grant.seconds)
            if messages.CONNECTED in progress:
                task.handover.confirm()
            return True
        self._refused = True
        LOG.warning('Job %s is to stop: %s', task.spec.id, grant.message)
        self.stop_job(grant.reason, grant.message, grant.reason != 'cancelled')
        return False
