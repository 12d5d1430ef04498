# SPDX-License-Identifier: Apache-2.0
"""Volumes of encrypted types: their bytes, and the keys that open them.

Nova encrypts; what lies on the storage is backed up as it is, and it is the
key that has to come back with it.
"""

import json
import os
import pathlib
from typing import Any

from openstack import exceptions as sdk_errors
import testscenarios

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB


class EncryptionTestCase(ebackup_case.EBackupTestCase):
    volume_type = 'block'

    @property
    def encrypted_type(self) -> str:
        return f'{self.volume_type}-encrypted'

    def encrypted(self) -> str:
        """Return a volume that something is on, encrypted or so it seems."""
        volume = self.create_volume(volume_type=self.encrypted_type)
        self.write(volume, 0, os.urandom(8 * MIB))
        return volume

    def key_of(self, kind: str, found_id: str) -> str | None:
        """Return the id of the key of one of the "volumes" or "backups"."""
        answer = self.admin.block_storage.get(f'/{kind}/{found_id}')
        sdk_errors.raise_from_response(answer)
        return answer.json()[kind[:-1]].get('encryption_key_id')

    def key(self, key_id: str) -> dict[str, Any]:
        """Return what the key manager keeps under an id."""
        return json.loads((self._keys / key_id).read_text())

    def keys(self) -> set[str]:
        return {path.name for path in self._keys.iterdir()}

    @property
    def _keys(self) -> pathlib.Path:
        return self.lab.directory / 'state/cinder/keys'

    def volume_from(self, backup: str, volume_type: str) -> str:
        """Return the id of a volume that is made from a backup."""
        storage = self.demo.block_storage
        created = storage.create_volume(
            name=base.unique('restored'),
            size=1,
            backup_id=backup,
            volume_type=volume_type,
        )
        self.addCleanup(self._remove_volume, created.id)
        return created.id

    def wait_for_volume(self, volume: str, status: str) -> None:
        fetch = self.demo.block_storage.get_volume
        self.wait_for_status(fetch, volume, status)

    def delete_volume(self, volume: str) -> None:
        storage = self.demo.block_storage
        storage.delete_volume(volume)
        self.wait_until_gone(storage.get_volume, volume)


class TestKeys(testscenarios.WithScenarios, EncryptionTestCase):
    scenarios = [
        ('block device', {'volume_type': 'block'}),
        ('plain file', {'volume_type': 'file'}),
    ]

    def test_each_restored_volume_has_a_key_of_its_own(self):
        volume = self.encrypted()
        digest = self.sha256(volume)
        backup = self.backup(volume)
        original = self.key_of('volumes', volume)
        copied = self.key_of('backups', backup)
        value = self.key(original)
        # Volume and key may go, the backup stands alone.
        self.delete_volume(volume)
        self.assertNotIn(original, self.keys())
        restored = self.volume_from(backup, self.encrypted_type)
        self.wait_for_volume(restored, 'available')
        self.assertEqual(digest, self.sha256(restored))
        fresh = self.key_of('volumes', restored)
        self.assertEqual(3, len({original, copied, fresh}))
        for key_id in copied, fresh:
            self.assertEqual(value, self.key(key_id))
        self.delete_backup(backup)
        self.assertNotIn(copied, self.keys())
        self.assertEqual(value, self.key(fresh))


class TestEncryption(EncryptionTestCase):
    def test_volume_that_is_restored_to_gets_the_key(self):
        volume = self.encrypted()
        digest = self.sha256(volume)
        backup = self.backup(volume)
        own = self.key_of('volumes', volume)
        other = self.create_volume(volume_type=self.encrypted_type)
        before = self.key_of('volumes', other)
        self.assertNotEqual(self.key(own), self.key(before))
        self.restore(backup, other)
        self.assertEqual(digest, self.sha256(other))
        after = self.key_of('volumes', other)
        self.assertEqual(self.key(own), self.key(after))
        self.assertNotIn(before, self.keys())
        # In place, nothing has to change.
        self.write(volume, 0, os.urandom(MIB))
        self.restore(backup, volume)
        self.assertEqual(digest, self.sha256(volume))
        self.assertEqual(own, self.key_of('volumes', volume))

    def test_snapshot(self):
        volume = self.encrypted()
        digest = self.sha256(volume)
        snapshot = self.create_snapshot(volume)
        self.write(volume, 0, os.urandom(MIB))
        backup = self.backup(volume, snapshot_id=snapshot)
        restored = self.volume_from(backup, self.encrypted_type)
        self.wait_for_volume(restored, 'available')
        self.assertEqual(digest, self.sha256(restored))
        self.assertEqual(
            self.key(self.key_of('volumes', volume)),
            self.key(self.key_of('volumes', restored)),
        )

    def test_encrypted_backup_is_refused_by_a_volume_of_another_type(self):
        backup = self.backup(self.encrypted())
        target = self.create_volume()
        self.write(target, 0, os.urandom(MIB))
        before = self.sha256(target)
        self.start_restore(backup, target)
        self.wait_for_volume(target, 'error_restoring')
        self.wait_for_backup(backup, 'available')
        self.assertEqual(before, self.sha256(target))
        self.assertEqual([], self.jobs(backup, 'restore'))
        self.wait_for_log(
            'cinder-backup',
            f'Backup is encrypted, by volume type {self.encrypted_type}, and '
            f'volume {target} is of type {self.volume_type}',
        )

    def test_encrypted_volume_refuses_a_backup_that_is_not(self):
        plain = self.create_volume()
        self.write(plain, 0, os.urandom(MIB))
        backup = self.backup(plain)
        target = self.encrypted()
        before = self.sha256(target)
        key_id = self.key_of('volumes', target)
        self.start_restore(backup, target)
        self.wait_for_volume(target, 'error_restoring')
        self.assertEqual(before, self.sha256(target))
        self.assertEqual(key_id, self.key_of('volumes', target))
        self.assertIn(key_id, self.keys())
        self.wait_for_log(
            'cinder-backup', f'Backup is not encrypted, volume {target} is'
        )

    def test_nobody_but_cinder_learns_a_key(self):
        volume = self.encrypted()
        backup = self.backup(volume)
        restored = self.volume_from(backup, self.encrypted_type)
        self.wait_for_volume(restored, 'available')
        key_ids = {
            self.key_of('volumes', volume),
            self.key_of('backups', backup),
            self.key_of('volumes', restored),
        }
        value = self.key(self.key_of('backups', backup))['value']
        kept = self.lab.directory / 'state'
        for place in (
            *self._files(self.lab.directory / 'repository'),
            *self._files(kept / 'ebackup'),
            *self._files(kept / 'mariadb'),
            *self._files(self.lab.directory / 'log'),
        ):
            content = place.read_bytes()
            for secret in value.encode(), bytes.fromhex(value):
                self.assertNotIn(secret, content, place)
        # Which key it is, is no secret, and part of the volume's metadata; but
        # it is nobody's business where those are not asked for.
        told = json.dumps([self.image(backup), self.jobs(backup, 'restore')])
        logs = [self.log(f'ebackup{part}') for part in self._parts()]
        for key_id in key_ids:
            self.assertNotIn(key_id, told)
            for log in logs:
                self.assertNotIn(key_id, log)

    def _files(self, directory: pathlib.Path) -> list[pathlib.Path]:
        return [path for path in directory.rglob('*') if path.is_file()]

    def _parts(self) -> list[str]:
        if not self.lab.separate:
            return ['']
        return ['-api', '-server', '-proxy']
