# SPDX-License-Identifier: Apache-2.0
"""What all operations of a round have in common."""

from collections.abc import Callable
import random
import threading
import time
from typing import Any

from lablib.torture import cloud as cloud_module
from lablib.torture import model as model_module
from lablib.torture import plan
from lablib import volumes

# Statuses of Cinder's that something is expected to end.
BUSY = frozenset(
    ('creating', 'deleting', 'restoring', 'backing-up', 'restoring-backup')
)
# Seconds, once everything runs again: after the first, that has been lost
# inside Cinder for which eBackup has no job; after the second, all else is
# stuck. Cinder itself waits for a lost message for 60 s.
_LOST = 20.0
_STUCK = 180.0
# Seconds for what Cinder does when nothing is in its way.
SHORT = 90.0
# Seconds in which Cinder puts right, once it runs again, what it can.
_REPAIRED = 10.0

# Without them, Cinder can neither hear of an end nor record it, and doesn't
# try again. "cinder" is all of it in one process.
_CINDERS_OWN = ('rabbitmq', 'mariadb', 'cinder')

# Names that Cinder gives to what it makes of a volume to back it up.
_TEMPORARY = {'volume': 'backup-vol-{}', 'snapshot': 'backup-snap-{}'}

Job = dict[str, Any]
Violation = cloud_module.Violation


def is_unfinished(job: Job) -> bool:
    return job['state'] in ('pending', 'running')


class Operation:
    """One operation of a tenant.

    prepare(), begin() and settle() are called while everything runs, wait()
    in a thread of its own, while a service is taken away.

    outcome: "succeeded"; "failed", in Cinder's words "error"; "lost", when a
    message inside Cinder was, so that eBackup never heard of it; "stale", when
    eBackup's job has ended, and Cinder could not record that in its database;
    "refused", when Cinder had a reason to
    calm: set as soon as everything runs again
    notes: what had to be put right that is Cinder's affair, not ours
    """

    def __init__(
        self,
        cloud: cloud_module.Cloud,
        model: model_module.Model,
        task: model_module.Task,
        fault: plan.Fault | None,
        calm: threading.Event,
    ) -> None:
        self.task = task
        self.outcome = ''
        self.notes: list[str] = []
        self._cloud = cloud
        self._model = model
        self._fault = fault.subject if fault else ''
        self._calm = calm
        self._random = random.Random(task.operation.seed)

    @property
    def kind(self) -> str:
        return self.task.kind

    def __str__(self) -> str:
        return f'{self.task} {self.outcome}'.rstrip()

    def prepare(self) -> None:
        """Make what the operation is done to."""

    def begin(self) -> None:
        """Ask for it; what is asked for has been accepted."""
        raise NotImplementedError

    def wait(self) -> None:
        """Wait for its end, and set the outcome."""
        raise NotImplementedError

    def settle(self) -> None:
        """Record what is acknowledged; tidy up as an operator would."""

    # For those that inherit

    def _digest(
        self, volume_id: str, begin: int = 0, end: int | None = None
    ) -> str:
        return volumes.digest(self._cloud.lab, volume_id, begin, end)

    def _ended(
        self, kind: str, resource: str, jobs: Callable[[], list[Job]]
    ) -> str | None:
        """Return Cinder's status once nothing is expected to change it.

        None: it is gone; or, with the outcome "lost" or "stale", it is busy
        and will remain so.
        """
        since = None
        while True:
            status = self._cloud.status(kind, resource)
            if status not in BUSY:
                return status
            now = time.monotonic()
            if since is None and self._calm.is_set():
                since = now
            if since is not None and now - since > _LOST:
                self.outcome = self._forgotten(jobs())
                if self.outcome:
                    return None
            if since is not None and now - since > _STUCK:
                raise Violation(
                    f'{kind} {resource} is {status}, {_STUCK:.0f} s after '
                    'everything was running again'
                )
            self._cloud.pause()

    def _forgotten(self, jobs: list[Job]) -> str:
        """Return "lost" or "stale" where Cinder waits in vain, else ''."""
        if not jobs:
            return 'lost'
        if any(map(is_unfinished, jobs)):
            return ''
        return 'stale' if self._fault in _CINDERS_OWN else ''

    def _new_jobs(self, kind: str, image: str) -> Callable[[], list[Job]]:
        """Return what finds the image's jobs of a kind from now on."""
        query = f'kind={kind}&image_id={image}'
        before = {job['id'] for job in self._cloud.jobs(query)}
        return lambda: [
            job for job in self._cloud.jobs(query) if job['id'] not in before
        ]

    def _quiet(
        self, kind: str, resource: str, otherwise: str = 'error'
    ) -> str | None:
        """Return Cinder's status when it is not busy any more.

        What got lost inside Cinder may stay busy for ever: a backup, say,
        that its scheduler has given to nobody. It gets another status; or it
        goes, since Cinder resets no backup that nobody has begun to make.
        """
        if self.outcome not in ('lost', 'stale'):
            return self._settled(kind, resource, SHORT)
        try:
            return self._settled(kind, resource, _REPAIRED)
        except Violation:
            if kind == 'backup' and otherwise == 'error':
                self._cloud.force_delete(kind, resource)
                return None
            status = {'status': otherwise}
            path = f'/v3/{kind}s/{resource}/action'
            self._cloud.ask(path, {'os-reset_status': status})
        return self._settled(kind, resource, SHORT)

    def _settled(self, kind: str, resource: str, seconds: float) -> str | None:
        found: list[str | None] = []

        def arrived() -> bool:
            found[:] = [self._cloud.status(kind, resource)]
            return found[0] not in BUSY

        self._cloud.wait(arrived, f'{kind} {resource} is settled', seconds)
        return found[0]

    def _free(self, volume: model_module.Volume) -> None:
        """Make a volume available that Cinder has left in an error.

        Or as if it were busy: when a backup is deleted by force, say, and
        cinder-backup dies in the middle of it, that is left to an operator.
        """
        theirs = self._left_to_operators()
        status: str | None = 'busy'
        try:
            seconds = _REPAIRED if theirs else SHORT
            status = self._settled('volume', volume.id, seconds)
        except Violation:
            if not theirs:
                raise
        if status != 'available':
            self._cloud.ask(
                f'/v3/volumes/{volume.id}/action',
                {
                    'os-reset_status': {
                        'status': 'available',
                        'attach_status': 'detached',
                        'migration_status': 'none',
                    }
                },
            )

    def _left_to_operators(self) -> bool:
        """Return whether Cinder may leave something as it was in between."""
        theirs = self._fault in (*_CINDERS_OWN, 'cinder-backup')
        return theirs or self.outcome in ('lost', 'stale')

    def _remove_temporary(self, volume: model_module.Volume) -> None:
        """Remove what Cinder has made of a volume, to back that up.

        It does so itself where it comes to record the id in its backup: when
        it dies before, that is left to an operator.
        """
        if not self._left_to_operators():
            return  # what is left in the end is a violation
        try:
            self._cloud.wait(
                lambda: not self._temporary(volume),
                f'what was made of volume {volume.id} is gone',
                _REPAIRED,
            )
        except Violation:
            for kind, found in self._temporary(volume):
                self._cloud.force_delete(kind, found['id'])
                self.notes.append(
                    f'Cinder had left {kind} {found["id"]} ({found["name"]})'
                )

    def _temporary(
        self, volume: model_module.Volume
    ) -> list[tuple[str, dict[str, Any]]]:
        """Return volumes and snapshots of Cinder's, with their kinds."""
        return [
            (kind, one)
            for kind, name in _TEMPORARY.items()
            for one in self._cloud.listed(kind)
            if one['name'] == name.format(volume.id)
        ]

    def _untouched(self, volume: model_module.Volume) -> None:
        """Nobody but us has written to a volume since we last looked."""
        if self._digest(volume.id) != volume.digest:
            raise Violation(
                f'volume {volume.id} is not what it was, though nothing was '
                'to write to it'
            )

    def _remove(self, kind: str, resource: str) -> None:
        """Remove something of Cinder's, again where it fails at first."""
        if self.outcome in ('lost', 'stale'):
            self._quiet(kind, resource)

        def gone() -> bool:
            status = self._cloud.status(kind, resource)
            if status is not None and status not in BUSY:
                self._cloud.remove(kind, resource)
            return status is None

        self._cloud.wait(gone, f'{kind} {resource} is gone', SHORT)
