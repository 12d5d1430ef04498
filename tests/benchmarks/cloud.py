# SPDX-License-Identifier: Apache-2.0
"""Volumes and backups of a lab's Cinder, as a user has them."""

from collections.abc import Callable
import pathlib
import time
from typing import Any

from lablib import lab as lab_module
from lablib import rest
from lablib import volumes
from tests.benchmarks import process

_TIMEOUT = 3600  # seconds; Cinder's own driver takes its time
_LOOK = 0.1  # seconds between two looks at a status


class Cloud:
    def __init__(self, lab: lab_module.Lab) -> None:
        self._lab = lab
        self._client = rest.Client(lab, 'demo')

    def create_volume(self, size: int) -> str:
        """An empty one; its id.

        :param size: GiB
        """
        body = {'volume': {'size': size, 'name': 'benchmark'}}
        made = self._client.post('cinder', '/v3/volumes', body)['volume']
        self._wait(f'/v3/volumes/{made["id"]}', 'volume')
        return made['id']

    def path(self, volume: str) -> pathlib.Path:
        """The file that has its bytes."""
        return volumes.find(self._lab, volume)

    def back_up(self, volume: str, zone: str, incremental: bool) -> str:
        """Wait until it is available; its id.

        :raises Failure: it isn't
        """
        body = {
            'volume_id': volume,
            'availability_zone': zone,
            'incremental': incremental,
            'name': 'benchmark',
        }
        path = '/v3/backups'
        made = self._client.post('cinder', path, {'backup': body})['backup']
        self._wait(f'{path}/{made["id"]}', 'backup')
        return made['id']

    def restore(self, backup: str) -> str:
        """Wait until a new volume has what it holds; that one's id.

        :raises Failure: it has not
        """
        path = f'/v3/backups/{backup}'
        body = {'restore': {'name': 'benchmark'}}
        made = self._client.post('cinder', f'{path}/restore', body)['restore']
        self._wait(path, 'backup')
        self._wait(f'/v3/volumes/{made["volume_id"]}', 'volume')
        return made['volume_id']

    def delete_volume(self, volume: str) -> None:
        self._delete(f'/v3/volumes/{volume}')

    def delete_backup(self, backup: str) -> None:
        self._delete(f'/v3/backups/{backup}')

    def serves(self, volume: str, zone: str) -> None:
        """Wait until backups can be made in a zone, by making one."""

        def made() -> bool:
            try:
                self.delete_backup(self.back_up(volume, zone, False))
            except process.Failure:
                time.sleep(2)
                return False
            return True

        self._until(made, f'a backup can be made in zone {zone}', 180)

    def _delete(self, path: str) -> None:
        self._client.call('cinder', 'DELETE', path)

        def gone() -> bool:
            try:
                self._client.get('cinder', path)
            except rest.Failure as failure:
                return failure.code == 404
            return False

        self._until(gone, f'{path} is gone')

    def _wait(self, path: str, kind: str) -> None:
        def available() -> bool:
            found: dict[str, Any] = self._client.get('cinder', path)[kind]
            if 'error' in found['status']:
                raise process.Failure(
                    f'{path} is {found["status"]}: {found.get("fail_reason")}'
                )
            return bool(found['status'] == 'available')

        self._until(available, f'{path} is available')

    def _until(
        self,
        condition: Callable[[], bool],
        what: str,
        timeout: float = _TIMEOUT,
    ) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise process.Failure(f'after {timeout} s still not: {what}')
            time.sleep(_LOOK)
