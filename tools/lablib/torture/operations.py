# SPDX-License-Identifier: Apache-2.0
"""The operations that a round is made of."""

import time
from typing import Any

from lablib import rest
from lablib.torture import cloud as cloud_module
from lablib.torture import content
from lablib.torture import model as model_module
from lablib.torture import operation
from lablib.torture import restores
from lablib import volumes

Violation = operation.Violation
unique = cloud_module.unique

# Seconds until a backup goes that has just been made when it is deleted by
# force: Cinder may call it available in between, and then deletes it.
_OVERTAKEN = 30.0


class Backup(operation.Operation):
    """The volume changes, and is backed up."""

    _backup = ''
    _in_use = False

    def prepare(self) -> None:
        self._untouched(self._volume)
        self._backed_up = self._change()

    def begin(self) -> None:
        self._begin()

    def _begin(self, **fields: Any) -> None:
        wanted = {'volume_id': self._volume.id, 'name': unique('backup')}
        answer = self._cloud.demo(
            'POST', '/v3/backups', {'backup': wanted | fields}
        )
        self._backup = answer['backup']['id']

    def wait(self) -> None:
        status = self._ended('backup', self._backup, self._jobs)
        if not self.outcome:
            good = status == 'available'
            self.outcome = 'succeeded' if good else 'failed'

    def _jobs(self) -> list[operation.Job]:
        return self._cloud.jobs(f'image_id={self._backup}')

    def settle(self) -> None:
        status = self._quiet('backup', self._backup)
        if status == 'available':
            self._model.backups.append(
                model_module.Backup(
                    self._backup,
                    self._volume.id,
                    self._backed_up,
                    self._volume.size,
                )
            )
        else:
            self._remove('backup', self._backup)
        self._remove_temporary(self._volume)
        if not self._in_use:
            self._free(self._volume)
        self._untouched(self._volume)

    def _change(self, begin: int = 0) -> str:
        """Write to the volume from an offset on; return its digest."""
        volume = self._volume
        pieces = content.pieces(self._random, begin, volume.bytes)
        volumes.write(self._cloud.lab, volume.id, *pieces)
        volume.digest = self._digest(volume.id)
        return volume.digest

    @property
    def _volume(self) -> model_module.Volume:
        assert self.task.volume is not None
        return self.task.volume


class Incremental(Backup):
    """One that the tenant calls incremental, where Cinder has a parent."""

    def begin(self) -> None:
        try:
            self._begin(incremental=True)
        except rest.Failure as failure:
            if failure.code != 400:
                raise
            self._begin()


class OfSnapshot(Backup):
    """The volume goes on changing while its snapshot is backed up."""

    def prepare(self) -> None:
        super().prepare()
        wanted = {'volume_id': self._volume.id, 'name': unique('snapshot')}
        answer = self._cloud.demo(
            'POST', '/v3/snapshots', {'snapshot': wanted}
        )
        self._snapshot = answer['snapshot']['id']
        if self._quiet('snapshot', self._snapshot) != 'available':
            raise Violation(f'snapshot {self._snapshot} was not made')
        self._change()

    def begin(self) -> None:
        self._begin(snapshot_id=self._snapshot)

    def settle(self) -> None:
        super().settle()
        if self._cloud.status('snapshot', self._snapshot) != 'available':
            # Cinder leaves it "backing-up" when it loses the message.
            self._cloud.ask(
                f'/v3/snapshots/{self._snapshot}/action',
                {'os-reset_status': {'status': 'available'}},
            )
        self._remove('snapshot', self._snapshot)


class InUse(Backup):
    """Cinder makes a temporary snapshot or clone, and backs that up."""

    _in_use = True

    def prepare(self) -> None:
        super().prepare()
        connector = {'host': 'torture', 'ip': '127.0.0.1'}
        wanted = {'volume_uuid': self._volume.id, 'connector': connector}
        answer = self._cloud.demo(
            'POST', '/v3/attachments', {'attachment': wanted}
        )
        self._attachment = answer['attachment']['id']
        path = f'/v3/attachments/{self._attachment}'
        self._cloud.demo('POST', f'{path}/action', {'os-complete': None})

    def begin(self) -> None:
        self._begin(force=True)

    def settle(self) -> None:
        super().settle()
        self._quiet('volume', self._volume.id)
        self._cloud.remove('attachment', self._attachment)
        self._free(self._volume)


class Grow(Backup):
    """The volume becomes larger, and changes there and elsewhere."""

    def prepare(self) -> None:
        volume = self._volume
        self._untouched(volume)
        before = volume.bytes
        wanted = {'os-extend': {'new_size': volume.size + 1}}
        path = f'/v3/volumes/{volume.id}/action'
        self._cloud.demo('POST', path, wanted)
        self._cloud.wait(
            lambda: self._cloud.status('volume', volume.id) == 'available',
            f'volume {volume.id} is larger',
            operation.SHORT,
        )
        volume.size += 1
        self._change(before)
        super().prepare()


class Cancel(Backup):
    """It is deleted by force while it is being made, or just after."""

    def wait(self) -> None:
        until = time.monotonic() + 3 * self.task.operation.other
        while time.monotonic() < until:
            self._cloud.pause()
        jobs = self._new_jobs('delete', self._backup)
        try:
            self._cloud.ask(
                f'/v3/backups/{self._backup}/action', {'os-force_delete': {}}
            )
        except rest.Failure as failure:
            if failure.code != 404:
                raise
        until = time.monotonic() + _OVERTAKEN
        status = self._ended('backup', self._backup, jobs)
        while status == 'available' and time.monotonic() < until:
            self._cloud.pause()
            status = self._ended('backup', self._backup, jobs)
        if not self.outcome:
            self.outcome = 'failed' if status else 'succeeded'

    def settle(self) -> None:
        self._remove('backup', self._backup)
        self._free(self._volume)
        self._untouched(self._volume)


class Delete(operation.Operation):
    """A backup is not acknowledged any more from its deletion on."""

    def begin(self) -> None:
        assert self.task.backup is not None
        self._backup = self.task.backup
        self._jobs = self._new_jobs('delete', self._backup.id)
        try:
            self._cloud.demo('DELETE', f'/v3/backups/{self._backup.id}')
        except rest.Failure as failure:
            if failure.code != 400:
                raise
            # An incremental backup of this round is so young that our driver
            # has not detached it from its parent yet.
            self.outcome = 'refused'
        else:
            self._model.backups.remove(self._backup)

    def wait(self) -> None:
        if self.outcome == 'refused':
            return
        status = self._ended('backup', self._backup.id, self._jobs)
        if not self.outcome:
            self.outcome = 'failed' if status else 'succeeded'

    def settle(self) -> None:
        if self.outcome != 'refused':
            self._remove('backup', self._backup.id)


class Collect(operation.Operation):
    _verb = 'collect'

    def begin(self) -> None:
        path = f'/v1/repositories/default/{self._verb}'
        job = self._cloud.ask(path, self._body(), 'POST', 'ebackup')['job']
        self._job = job['id']

    def _body(self) -> object:
        return None

    def wait(self) -> None:
        def ended() -> bool:
            self._found = self._cloud.job(self._job)
            return self._found['state'] not in ('pending', 'running')

        what = f'{self._verb} job {self._job} has ended'
        self._cloud.wait(ended, what, operation.SHORT)
        good = self._found['state'] == 'succeeded'
        self.outcome = 'succeeded' if good else 'failed'


class Check(Collect):
    """A check of the repository; whatever it finds is a violation."""

    _verb = 'check'

    def _body(self) -> object:
        fraction = self.task.operation.subject
        whole = fraction < 0.5
        return {'read_data': True} if whole else {'fraction': fraction}

    def settle(self) -> None:
        problems = damage(self._found)
        if problems:
            raise Violation(f'check {self._job} found {problems}')


def damage(job: operation.Job) -> dict[str, Any]:
    """Return what a check has to complain about, by kind."""
    result = job['result'] or {}
    kinds = 'problems', 'damaged_images', 'damaged_chunks'
    return {kind: result[kind] for kind in kinds if result.get(kind)}


KINDS: dict[str, type[operation.Operation]] = {
    'backup': Backup,
    'incremental': Incremental,
    'snapshot': OfSnapshot,
    'in-use': InUse,
    'grow': Grow,
    'cancel': Cancel,
    'restore-new': restores.Restore,
    'restore-over': restores.RestoreOver,
    'delete': Delete,
    'collect': Collect,
    'check': Check,
}
