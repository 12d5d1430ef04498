# SPDX-License-Identifier: Apache-2.0
"""Waits for the service, and for its jobs, while an operation is wanted.

Every look at the job is a heartbeat, made by the very call that Cinder waits
for. There is no thread and no timer: however that call is left, the beats
end, and the service then ends the job and its I/O by itself.
"""

from collections.abc import Callable, Iterator, Mapping
import functools
import time
from typing import Any, ParamSpec, TypeVar

from oslo_log import log as logging

from ebackup_driver import client as clients
from ebackup_driver import errors
from ebackup_driver import resources

LOG = logging.getLogger(__name__)

FIRST_DELAY = 0.1
# So where the service does not wait, what ended is noticed after another tenth
# of the time that it took, or after the poll interval; sooner if the job has
# told how long it takes.
_GROWTH = 1.1

_Answer = TypeVar('_Answer')
_Arguments = ParamSpec('_Arguments')


def stays_wanted() -> None:
    """The check of an operation that Cinder does not withdraw."""


def stays_attached(job: resources.Job) -> None:
    """For jobs whose volume is exported to no proxy."""


# Returns what to tell the service, None for nothing.
Connect = Callable[[resources.Job], Mapping[str, Any] | None]


class Waiter:
    """Asks and waits for one operation; delays and timeouts in seconds.

    delay: longest time between two requests; the first ones are closer. When
        a job ends, the service says so at once, if it can: each beat asks it
        to wait for that for as long.
    timeout: how long the service may be unreachable.
    check: raises when the operation is not wanted any more; whatever is
        waited for, it is called between any two requests.
    """

    def __init__(
        self,
        client: clients.Client,
        delay: float,
        timeout: float,
        check: Callable[[], None] = stays_wanted,
    ):
        self._client = client
        self._delay = delay
        self._timeout = timeout
        self._check = check

    def persist(
        self,
        ask: Callable[_Arguments, _Answer],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Answer:
        """Return the answer, asked for again until the service gives one.

        Asking twice must be the same as asking once: the service may have
        acted, and only its answer got lost.

        :raises ServiceUnreachable: for longer than the timeout
        """
        return self._persist(
            functools.partial(ask, *args, **kwargs), self._check
        )

    def wait(
        self,
        job: resources.Job,
        attachment: Mapping[str, Any],
        connect: Connect = stays_attached,
    ) -> resources.Job:
        """Return the job when it succeeded; attach the volume when asked.

        connect: has the volume exported to the job's proxy when that is what
        it waits for. It may take its time: no beat is needed meanwhile.

        When the check objects, as on any other error, the job is cancelled,
        and its I/O has ended when this returns.

        :raises JobFailed: the job ended otherwise
        :raises ServiceUnreachable: for longer than the timeout; the job has
            then ended for want of a beat
        """
        try:
            job = self._follow(job, attachment, connect)
        except errors.ServiceUnreachable:
            # Nobody to tell.
            raise
        except Exception:
            self.stop(job)
            raise
        job.raise_for_failure()
        return job

    def wait_for_end(self, job: resources.Job) -> resources.Job:
        """Like wait, for a job that needs no volume and is not cancelled."""
        job = self._follow(job, {}, stays_attached)
        job.raise_for_failure()
        return job

    def stop(self, job: resources.Job) -> None:
        """Cancel a job and return when it has ended, without beating for it.

        Whatever goes wrong is logged: what made the caller stop matters
        more, and without a beat the job ends anyhow.
        """
        LOG.info('Cancelling job %s', job.id)
        try:
            cancel = functools.partial(self._cancel, job)
            job = self._persist(cancel, stays_wanted)
            look = functools.partial(self._client.job, job.id)
            for delay in self._delays():
                if job.ended:
                    break
                time.sleep(delay)
                job = self._persist(look, stays_wanted)
        except errors.NotFound:
            LOG.info('Job %s is not known any more', job.id)
        except errors.EBackupError as error:
            LOG.warning(
                'Job %(job)s could not be cancelled and ends for want of a '
                'heartbeat: %(error)s',
                {'job': job.id, 'error': error},
            )

    def _cancel(self, job: resources.Job) -> resources.Job:
        try:
            return self._client.cancel(job.id)
        except errors.Conflict:
            # It ended before the request arrived.
            return self._client.job(job.id)

    def _follow(
        self,
        job: resources.Job,
        attachment: Mapping[str, Any],
        connect: Connect,
    ) -> resources.Job:
        contact = time.monotonic()
        delays = self._delays()
        longest = clients.LONGEST_WAIT
        nearly_done = False
        while not job.ended:
            self._check()
            delay = next(delays)
            asked = time.monotonic()
            try:
                job = self._look(job, attachment, connect, min(delay, longest))
                contact = time.monotonic()
                longest = clients.LONGEST_WAIT
            except errors.ServiceUnreachable as error:
                self._bear(error, asked - contact)
                # It may be slow: let it have all the time to answer in.
                longest = 0.0
            if job.ended:
                break
            if not nearly_done and job.advance.ends_within(delay):
                # Often again. But once only: it may take longer than it says.
                nearly_done = True
                delays = self._delays()
                delay = next(delays)
            waited = time.monotonic() - asked
            time.sleep(max(delay - waited, 0.0))
        return job

    def _look(
        self,
        job: resources.Job,
        attachment: Mapping[str, Any],
        connect: Connect,
        wait: float,
    ) -> resources.Job:
        """Beat for the job, or attach the volume if it waits for that."""
        if job.needs == 'connection':
            return self._connect(job, connect(job))
        if job.needs != 'attachment' or not attachment:
            return self._client.beat(job.id, wait)
        try:
            return self._client.attach(job.id, attachment)
        except errors.Conflict:
            job = self._client.job(job.id)
            if not job.ended:
                raise
            return job

    def _connect(
        self, job: resources.Job, connection: Mapping[str, Any] | None
    ) -> resources.Job:
        if connection is None:
            return self._client.beat(job.id)
        try:
            return self._client.attach(job.id, connection)
        except errors.Conflict as error:
            # It went to another proxy meanwhile, or its proxy is not ready.
            LOG.info('Job %s takes no connection now: %s', job.id, error)
            return self._client.job(job.id)

    def _persist(
        self, call: Callable[[], _Answer], check: Callable[[], None]
    ) -> _Answer:
        contact = time.monotonic()
        for delay in self._delays():
            asked = time.monotonic()
            try:
                return call()
            except errors.ServiceUnreachable as error:
                self._bear(error, asked - contact)
            time.sleep(delay)
            check()
        raise AssertionError('delays end never')

    def _bear(self, error: errors.ServiceUnreachable, silence: float) -> None:
        """Log the error, or raise it when it has lasted too long.

        silence: since the last answer, when the request that failed was made.
            For what has passed since, this process may have hung.
        """
        if silence >= self._timeout:
            raise errors.ServiceUnreachable(
                f'{error} for {silence:.0f} s'
            ) from error
        LOG.warning('eBackup service does not answer: %s', error)

    def _delays(self) -> Iterator[float]:
        delay = min(FIRST_DELAY, self._delay)
        while True:
            yield delay
            delay = min(delay * _GROWTH, self._delay)
