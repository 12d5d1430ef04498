# SPDX-License-Identifier: Apache-2.0
"""Base of the functional tests: a real Cinder, through its own API.

The environment variable EBACKUP_LAB names the directory of a lab that is up:

    tools/lab --dir .lab up
    EBACKUP_LAB=$PWD/.lab stestr --test-path tests/functional run
"""

from collections.abc import Callable
import contextlib
import functools
import logging
import os
import pathlib
import subprocess
import time
from typing import Any
import uuid

from keystoneauth1 import adapter
import openstack
from openstack import connection
from openstack import exceptions as sdk_errors
from testtools import content

from ebackup_service.conf import repository
from tests import base
from tests import environment
from tests.functional import lab

# Each look at a status would otherwise leave ten lines in a failure's log.
for chatty in 'keystoneauth', 'urllib3':
    logging.getLogger(chatty).setLevel(logging.INFO)

# Seconds; the machine may have other things to do.
TIMEOUT = 180
# Of the log of a service that died: a stack of each of its threads.
LAST_LINES = 200
MIB = 1024 * 1024
GIB = 1024 * MIB
CHUNK = repository.DEFAULT_CHUNK_SIZE


@functools.cache
def connect(user: str) -> connection.Connection:
    """Return the connection of an account: admin, demo, other, cinder."""
    cloud = openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        **lab.current().account(user),
    )
    cloud.block_storage.default_microversion = '3.70'
    return cloud


def unique(name: str) -> str:
    return f'{name}-{uuid.uuid4().hex[:8]}'


class LabTestCase(base.BaseTestCase):
    """Makes volumes and backups, and removes them after the test."""

    def setUp(self) -> None:
        super().setUp()
        if 'EBACKUP_LAB' not in os.environ:
            self.fail('EBACKUP_LAB has to name the directory of a lab')
        self.lab = lab.current()
        self.addOnException(self._tell_of_the_dead)
        self.admin = connect('admin')
        self.demo = connect('demo')
        self.other = connect('other')

    def service(self, user: str = 'admin') -> adapter.Adapter:
        """Return eBackup's REST API, for paths such as "/v1/images".

        Answers of 400 and above are returned, not raised.
        """
        return adapter.Adapter(
            connect(user).session,
            service_type='block-backup',
            interface='public',
            raise_exc=False,
        )

    def _tell_of_the_dead(self, _exception: object) -> None:
        """Of services that died by themselves: a failure's cause, maybe."""
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            for service in self.lab.status()['services']:
                if service['state'] == 'died':
                    log = pathlib.Path(service['log'])
                    lines = log.read_text(errors='replace').splitlines()
                    self.addDetail(
                        f'{service["name"]} died, its last words',
                        content.text_content('\n'.join(lines[-LAST_LINES:])),
                    )

    # Waiting

    def wait_for(
        self,
        condition: Callable[[], Any],
        what: str,
        timeout: float = TIMEOUT,
    ) -> Any:
        """Return the condition's value once it is true."""
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                self.fail(f'after {timeout} s still not: {what}')
            time.sleep(0.2)

    def wait_for_status(
        self,
        fetch: Callable[[str], Any],
        resource_id: str,
        *wanted: str,
        timeout: float = TIMEOUT,
    ) -> Any:
        """Return the resource once its status is one of those wanted.

        Another status that it does not leave by itself fails the test.
        """
        final = {'available', 'in-use', 'error', 'error_restoring'}

        def arrived() -> Any:
            found = fetch(resource_id)
            if found.status in wanted:
                return found
            if found.status in final:
                reason = getattr(found, 'fail_reason', None)
                self.fail(f'{resource_id} is {found.status}: {reason}')
            return None

        what = f'{resource_id} is {" or ".join(wanted)}'
        return self.wait_for(arrived, what, timeout)

    def wait_until_gone(
        self, fetch: Callable[[str], Any], resource_id: str
    ) -> None:
        def gone() -> bool:
            try:
                fetch(resource_id)
            except sdk_errors.NotFoundException:
                return True
            return False

        self.wait_for(gone, f'{resource_id} is gone')

    # Volumes

    def create_volume(
        self,
        size: int = 1,
        volume_type: str | None = None,
        cloud: connection.Connection | None = None,
        **fields: Any,
    ) -> str:
        """Return the id of an available volume of that many GiB.

        It is attached as a block device where the lab can do that, unless a
        type is named. The test is skipped where a block device is what is
        asked for, and the lab has none.
        """
        wanted = volume_type or self.lab.volume_types[0]
        if wanted.split('-')[0] not in self.lab.volume_types:
            environment.lacks('attaching as a block device needs root')
        storage = (cloud or self.demo).block_storage
        created = storage.create_volume(
            name=unique('volume'),
            size=size,
            volume_type=wanted,
            **fields,
        )
        self.addCleanup(self._remove_volume, created.id)
        self.wait_for_status(storage.get_volume, created.id, 'available')
        return created.id

    def create_snapshot(self, volume_id: str) -> str:
        """Return the id of a snapshot of a volume, in use or not."""
        storage = self.demo.block_storage
        created = storage.create_snapshot(
            name=unique('snapshot'), volume_id=volume_id
        )
        self.addCleanup(self._remove_snapshot, created.id)
        self.wait_for_status(storage.get_snapshot, created.id, 'available')
        return created.id

    def volume_path(self, volume_id: str) -> pathlib.Path:
        return self.lab.volume_path(volume_id)

    def write(self, volume_id: str, offset: int, data: bytes) -> None:
        """Write into a volume that is not attached."""
        self.lab.write(volume_id, offset, data)

    def read(self, volume_id: str, offset: int, length: int) -> bytes:
        return self.lab.read(volume_id, offset, length)

    def sha256(self, volume_id: str, *part: int) -> str:
        """Return the hash of the volume's bytes; part: see Lab.sha256."""
        return self.lab.sha256(volume_id, *part)

    def make_bootable(self, volume_id: str, **image: str) -> None:
        """Let it be one that was made of an image with these properties."""
        storage = self.demo.block_storage
        storage.set_volume_bootable_status(volume_id, True)
        answer = storage.post(
            f'/volumes/{volume_id}/action',
            json={'os-set_image_metadata': {'metadata': image}},
        )
        sdk_errors.raise_from_response(answer)

    def use_volume(self, volume_id: str) -> str:
        """Make the volume in-use; return the attachment.

        As a host without Nova would: of a server's volume, Cinder would let
        only Nova delete the attachment.
        """
        storage = self.demo.block_storage
        body = {
            'attachment': {
                'volume_uuid': volume_id,
                'connector': {'host': 'lab', 'ip': '127.0.0.1'},
            }
        }
        answer = storage.post('/attachments', json=body)
        sdk_errors.raise_from_response(answer)
        attachment = answer.json()['attachment']['id']
        self.addCleanup(self.release_volume, volume_id, attachment)
        storage.post(
            f'/attachments/{attachment}/action', json={'os-complete': None}
        )
        self.wait_for_status(storage.get_volume, volume_id, 'in-use')
        return attachment

    def release_volume(self, volume_id: str, attachment: str) -> None:
        storage = self.demo.block_storage
        answer = storage.delete(f'/attachments/{attachment}')
        if answer.status_code != 404:
            sdk_errors.raise_from_response(answer)
        self.wait_for_status(storage.get_volume, volume_id, 'available')

    # Backups

    def start_backup(
        self,
        volume_id: str,
        cloud: connection.Connection | None = None,
        **fields: Any,
    ) -> str:
        """Return the id of a backup that is being made."""
        storage = (cloud or self.demo).block_storage
        created = storage.create_backup(
            name=unique('backup'), volume_id=volume_id, **fields
        )
        self.addCleanup(self._remove_backup, created.id)
        return created.id

    def backup(self, volume_id: str, **fields: Any) -> str:
        """Return the id of an available backup."""
        created = self.start_backup(volume_id, **fields)
        self.wait_for_backup(created, 'available')
        return created

    def wait_for_backup(self, backup_id: str, *wanted: str) -> Any:
        """Return the backup once it has one of these statuses."""
        fetch = self.admin.block_storage.get_backup
        return self.wait_for_status(fetch, backup_id, *wanted)

    def delete_backup(self, backup_id: str) -> None:
        storage = self.demo.block_storage
        storage.delete_backup(backup_id, ignore_missing=False)
        self.wait_until_gone(storage.get_backup, backup_id)

    def start_restore(
        self, backup_id: str, volume_id: str | None = None
    ) -> str:
        """Return the id of the volume that is being restored."""
        target = (
            {'volume_id': volume_id}
            if volume_id
            else {'name': unique('restored')}
        )
        answer = self.demo.block_storage.post(
            f'/backups/{backup_id}/restore', json={'restore': target}
        )
        sdk_errors.raise_from_response(answer)
        restored = answer.json()['restore']['volume_id']
        if volume_id is None:
            self.addCleanup(self._remove_volume, restored)
        return restored

    def restore(self, backup_id: str, volume_id: str | None = None) -> str:
        """Restore to a new volume, or to that one; return its id."""
        restored = self.start_restore(backup_id, volume_id)
        # Until Cinder has begun, the volume may still be what it was.
        self.wait_for_backup(backup_id, 'available')
        fetch = self.demo.block_storage.get_volume
        self.wait_for_status(fetch, restored, 'available')
        return restored

    # Removing, whatever a test may have left

    def _remove_backup(self, backup_id: str) -> None:
        storage = self.admin.block_storage
        with contextlib.suppress(sdk_errors.NotFoundException):
            storage.delete_backup(backup_id, force=True)
            self.wait_until_gone(storage.get_backup, backup_id)

    def _remove_snapshot(self, snapshot_id: str) -> None:
        storage = self.admin.block_storage
        with contextlib.suppress(sdk_errors.NotFoundException):
            storage.delete_snapshot(snapshot_id)
            self.wait_until_gone(storage.get_snapshot, snapshot_id)

    def _remove_volume(self, volume_id: str) -> None:
        storage = self.admin.block_storage
        with contextlib.suppress(sdk_errors.NotFoundException):
            found = storage.get_volume(volume_id)
            if found.status not in ('available', 'error', 'error_restoring'):
                storage.reset_volume_status(
                    volume_id, 'error', 'detached', 'none'
                )
            storage.delete_volume(volume_id)
            self.wait_until_gone(storage.get_volume, volume_id)
