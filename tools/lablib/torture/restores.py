# SPDX-License-Identifier: Apache-2.0
"""Restores: what has become of the volume, and who writes to it afterwards."""

from lablib import sparse
from lablib.torture import cloud as cloud_module
from lablib.torture import content
from lablib.torture import model as model_module
from lablib.torture import operation
from lablib import volumes

Violation = operation.Violation
unique = cloud_module.unique


class Restore(operation.Operation):
    """To a new volume, that Cinder makes."""

    _compared = False
    _written_at: int | None = None

    def begin(self) -> None:
        assert self.task.backup is not None
        self._backup = self.task.backup
        self._jobs = self._new_jobs('restore', self._backup.id)
        answer = self._cloud.demo(
            'POST',
            f'/v3/backups/{self._backup.id}/restore',
            {'restore': self._target()},
        )
        self._restored = answer['restore']['volume_id']

    def _target(self) -> dict[str, str]:
        return {'name': unique('restored')}

    def wait(self) -> None:
        status = self._ended('volume', self._restored, self._jobs)
        if not self.outcome:
            good = status == 'available'
            self.outcome = 'succeeded' if good else 'failed'
        jobs = self._jobs()
        if jobs and not any(map(operation.is_unfinished, jobs)):
            self._take_over()

    def _take_over(self) -> None:
        """Use the volume, now that its job has ended, where it is a file.

        A proxy that stands still may have had the job before. If it went on,
        it would find other bytes than the backup's, and write.
        """
        lab = self._cloud.lab
        if volumes.written_at(lab, self._restored) is None:
            return
        if self.outcome == 'succeeded':
            self._compare()
            marks = content.marks(self._random, self._backup.bytes)
            volumes.write(lab, self._restored, *marks)
        self._written_at = volumes.written_at(lab, self._restored)

    def _left_alone(self) -> None:
        """Nobody else has written to the volume since, whatever it was."""
        found = volumes.written_at(self._cloud.lab, self._restored)
        if self._written_at not in (None, found):
            raise Violation(
                f'volume {self._restored} was written to after its restore '
                'had ended'
            )

    def settle(self) -> None:
        self._left_alone()
        status = self._quiet('backup', self._backup.id, 'available')
        if status != 'available':
            raise Violation(
                f'backup {self._backup.id} was available before it was '
                'restored, and is not any more'
            )
        status = self._quiet('volume', self._restored)
        if status == 'available' and not self._compared:
            self._compare()
        self._dispose()

    def _compare(self) -> None:
        self._compared = True
        found = self._digest(self._restored, 0, self._backup.bytes)
        if found != self._backup.digest:
            raise Violation(
                f'volume {self._restored} is not what backup '
                f'{self._backup.id} was made of'
            )

    def _dispose(self) -> None:
        self._remove('volume', self._restored)


class RestoreOver(Restore):
    """To a volume that has other bytes, of this or of another volume."""

    def _target(self) -> dict[str, str]:
        assert self.task.volume is not None
        self._volume = self.task.volume
        self._untouched(self._volume)
        self._behind = self._digest_behind()
        return {'volume_id': self._volume.id}

    def _digest_behind(self) -> str:
        """Return that of what the volume has beyond the backup's end."""
        begin, end = self._backup.bytes, self._volume.bytes
        return self._digest(self._volume.id, begin, end)

    def _dispose(self) -> None:
        self._await_proxy()
        self._free(self._volume)
        size = self._volume.bytes - self._backup.bytes
        if self._digest_behind() not in behind(
            self._volume, size, self._behind, self.outcome
        ):
            raise Violation(
                f'volume {self._volume.id} has changed behind the end of '
                f'backup {self._backup.id}, which was restored to it'
            )
        if self._volume.in_file and self.outcome != 'succeeded':
            # Cinder's database may have been away, which knows how large the
            # volume is that Cinder has emptied.
            volumes.give_size(
                self._cloud.lab, self._volume.id, self._volume.bytes
            )
        # After a failure it holds something of both, and from now on
        # nothing may change it any more.
        self._volume.digest = self._digest(self._volume.id)

    def _await_proxy(self) -> None:
        """Let an operator's patience pass, where no lock ends a restore.

        A proxy that has the volume from Cinder, or from its storage, can't see
        that the driver was killed. It writes for as long as the last heartbeat
        counts, whatever Cinder says of the volume meanwhile.
        """
        self._cloud.wait(
            lambda: not any(map(self._is_written, self._jobs())),
            f'volume {self._volume.id} is not written any more',
            operation.SHORT,
        )

    def _is_written(self, job: operation.Job) -> bool:
        without_lock = job['exported'] or self._volume.in_pool
        return job['state'] == 'running' and bool(without_lock)


def behind(
    volume: model_module.Volume, size: int, before: str, outcome: str
) -> set[str]:
    """Return the digests that what is behind a backup's end may have.

    :param size: of that, bytes
    :param before: its digest before the restore
    """
    if not volume.in_file:
        return {before}
    zeros = sparse.digest_zeros(size)
    # A restore that failed may have ended before Cinder emptied the file.
    return {zeros} if outcome == 'succeeded' else {zeros, before}
