# SPDX-License-Identifier: Apache-2.0
"""What has to be true after all rounds, when everything runs."""

from collections.abc import Callable
from collections.abc import Iterable
from concurrent import futures
import random
import time

from lablib.torture import cloud as cloud_module
from lablib.torture import content
from lablib.torture import model as model_module
from lablib.torture import operation
from lablib.torture import operations
from lablib.torture import pool as pool_module
from lablib import volumes

# Restores at the same time.
_TOGETHER = 3
# Bytes that the repository may hold in the end more than at the beginning:
# tombstones, and what is measured in blocks.
_REMAINDER = 1 << 20
# Seconds until every job has ended, and until collections have freed all.
_CALM = 120.0
_FREED = 120.0

Violation = cloud_module.Violation


class Closing:
    """Each check adds what it finds to the violations.

    others: ids of what was in Cinder before, and is nobody's business here
    pool: where the volumes are in Ceph
    """

    def __init__(
        self,
        cloud: cloud_module.Cloud,
        model: model_module.Model,
        pool: pool_module.Pool | None,
        others: set[str],
        say: Callable[[str], None],
    ) -> None:
        self.violations: list[str] = []
        self.remainder: int | None = None
        self._cloud = cloud
        self._lab = cloud.lab
        self._model = model
        self._pool = pool
        self._others = others
        self._say = say

    def run(self, empty: int) -> None:
        """empty: bytes that the repository held before the first round"""
        self._calm()
        self._back_up_all()
        if self._pool is not None:
            self._back_up_what_changed()
        self._restore_all()
        self._check()
        self._nothing_in_cinder()
        if self._pool is not None:
            self._found_all(self._pool.problems(self._in_pool()))
        if self.violations:
            return  # what there is may have to be looked at
        self._say('deleting everything')
        for backup in self._model.backups:
            self._remove('backup', backup.id)
        if self._pool is not None:
            self._found_all(self._pool.forsaken())
        for volume in self._model.volumes:
            self._remove('volume', volume.id)
        self._calm()
        self._no_images()
        self._freed(empty)
        self._nothing_on_disk()
        if self._pool is not None:
            self._found_all(self._pool.left())

    def _found(self, what: str) -> None:
        self.violations.append(what)
        self._say(f'VIOLATION: {what}')

    def _found_all(self, found: Iterable[str]) -> None:
        for what in found:
            self._found(what)

    def _in_pool(self) -> list[str]:
        return [one.id for one in self._model.volumes if one.in_pool]

    def _calm(self) -> None:
        deadline = time.monotonic() + _CALM
        while jobs := self._cloud.unfinished():
            if time.monotonic() > deadline:
                for job in jobs:
                    self._found(
                        f'{job["kind"]} job {job["id"]} is {job["state"]} '
                        f'since {job["created_at"]}'
                    )
                return
            self._cloud.pause()

    def _back_up_all(self) -> None:
        """The next backup of each volume is right."""
        self._say('backing up every volume')
        for volume in self._model.volumes:
            if volumes.digest(self._lab, volume.id) != volume.digest:
                self._found(f'volume {volume.id} changed by itself')
            self._back_up(volume)

    def _back_up_what_changed(self) -> None:
        """Nothing else is read, whatever has become of earlier anchors."""
        self._say('backing up what changes in every volume in Ceph')
        source = random.Random(0)
        for volume in self._model.volumes:
            if not volume.in_pool:
                continue
            pieces = content.pieces(source, 0, volume.bytes)
            volumes.write(self._lab, volume.id, *pieces)
            volume.digest = volumes.digest(self._lab, volume.id)
            backup = self._back_up(volume)
            if backup is None:
                continue
            job = self._cloud.jobs(f'kind=backup&image_id={backup}')[0]
            result = job['result'] or {}
            if result.get('changes') != 'named' or (
                result['bytes_read'] > content.NAMED
            ):
                self._found(
                    f'backup {backup} of volume {volume.id} did not read '
                    f'what had changed only: {result}'
                )

    def _back_up(self, volume: model_module.Volume) -> str | None:
        wanted = {
            'volume_id': volume.id,
            'name': cloud_module.unique('last'),
        }
        answer = self._cloud.demo('POST', '/v3/backups', {'backup': wanted})
        backup = answer['backup']['id']
        if self._ended('backup', backup) != 'available':
            self._found(f'backup {backup} failed without a reason')
            return None
        assert volume.digest is not None
        self._model.backups.append(
            model_module.Backup(backup, volume.id, volume.digest, volume.size)
        )
        return backup

    def _restore_all(self) -> None:
        backups = self._model.backups
        self._say(f'restoring {len(backups)} acknowledged backups')
        with futures.ThreadPoolExecutor(_TOGETHER) as pool:
            try:
                for problem in pool.map(self._restore, backups):
                    if problem:
                        self._found(problem)
            except BaseException:
                self._cloud.stop.set()
                raise

    def _restore(self, backup: model_module.Backup) -> str | None:
        """Return what is wrong with a backup, if anything is."""
        body = {'restore': {'name': cloud_module.unique('proof')}}
        path = f'/v3/backups/{backup.id}/restore'
        answer = self._cloud.demo('POST', path, body)
        volume = answer['restore']['volume_id']
        status = self._ended('volume', volume)
        if status != 'available':
            return f'restoring backup {backup.id} ended in {status}'
        if self._ended('backup', backup.id) != 'available':
            return f'backup {backup.id} is not available any more'
        if volumes.digest(self._lab, volume) != backup.digest:
            return (
                f'backup {backup.id} of volume {backup.volume_id}, restored '
                f'to volume {volume}, has other bytes than were backed up'
            )
        self._remove('volume', volume)
        return None

    def _check(self) -> None:
        job = self._job('check', {'read_data': True})
        if job['state'] != 'succeeded':
            self._found(f'check {job["id"]} is {job["state"]}: {job["error"]}')
        elif problems := operations.damage(job):
            self._found(f'check {job["id"]} found {problems}')

    def _nothing_in_cinder(self) -> None:
        ours = {volume.id for volume in self._model.volumes}
        known = ours | {backup.id for backup in self._model.backups}
        for kind in 'volume', 'snapshot', 'backup', 'attachment':
            for one in self._cloud.listed(kind):
                if one['id'] in self._others:
                    continue
                name = f'{kind} {one["id"]} ({one.get("name")})'
                if one['id'] not in known:
                    self._found(f'{name} is left in Cinder')
                elif one['status'] != 'available':
                    self._found(f'{name} is {one["status"]}')
        for path in volumes.attached(self._lab):
            self._found(f'{path} is still attached as a loop device')

    def _no_images(self) -> None:
        path = '/v1/images?all_projects=true'
        for image in self._cloud.ask(path, service='ebackup')['images']:
            self._found(f'image {image["id"]} is {image["state"]}')

    def _freed(self, empty: int) -> None:
        """Collections free all; the last one only what others left to it."""
        deadline = time.monotonic() + _FREED
        while True:
            self._job('collect', None)
            remainder = self.remainder = used(self._cloud) - empty
            if remainder <= _REMAINDER:
                return
            if time.monotonic() > deadline:
                self._found(
                    f'{remainder} bytes remain in '
                    f'{self._lab.repository} after the last collection'
                )
                return

    def _nothing_on_disk(self) -> None:
        for path in sorted(self._lab.volumes.glob('*/*-*')):
            # volume-UUID, snapshot-UUID
            if path.name.partition('-')[2] not in self._others:
                self._found(f'{path} is left')

    def _job(self, verb: str, body: object) -> dict:
        return run_job(self._cloud, verb, body)

    def _ended(self, kind: str, resource: str) -> str | None:
        found: list[str | None] = []

        def arrived() -> bool:
            found[:] = [self._cloud.status(kind, resource)]
            return found[0] not in operation.BUSY

        self._cloud.wait(
            arrived, f'{kind} {resource} is settled', operation.SHORT
        )
        return found[0]

    def _remove(self, kind: str, resource: str) -> None:
        self._cloud.remove(kind, resource)
        if self._ended(kind, resource) is not None:
            raise Violation(f'{kind} {resource} can not be deleted')


def run_job(cloud: cloud_module.Cloud, verb: str, body: object) -> dict:
    """Return a collection or check when it has ended."""
    path = f'/v1/repositories/default/{verb}'
    job = cloud.ask(path, body, 'POST', 'ebackup')['job']

    def ended() -> dict | None:
        found = cloud.job(job['id'])
        return None if found['state'] in ('pending', 'running') else found

    return cloud.wait(ended, f'{verb} {job["id"]} has ended', operation.SHORT)


def used(cloud: cloud_module.Cloud) -> int:
    """Return the bytes of all files of the repository."""
    files = cloud.lab.repository.rglob('*')
    return sum(path.stat().st_size for path in files if path.is_file())
