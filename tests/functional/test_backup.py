# SPDX-License-Identifier: Apache-2.0
"""Backups of real volumes through Cinder's API, on both kinds of attach."""

import base64
import json
import os
from typing import Any

from openstack import exceptions as sdk_errors
import testscenarios

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
CHUNK = base.CHUNK


class BackupTestCase(
    testscenarios.WithScenarios, ebackup_case.EBackupTestCase
):
    scenarios = [
        ('block device', {'volume_type': 'block'}),
        ('plain file', {'volume_type': 'file'}),
    ]

    def filled(self, size: int = 1) -> str:
        volume = self.create_volume(size, self.volume_type)
        self.write(volume, 0, os.urandom(8 * MIB))
        self.write(volume, size * base.GIB - MIB, os.urandom(MIB))
        return volume

    def restored(self, backup: str) -> str:
        """A new volume of the scenario's type, with the backup's content."""
        target = self.create_volume(1, self.volume_type)
        return self.restore(backup, target)

    def extend(self, volume: str, size: int) -> None:
        storage = self.demo.block_storage
        storage.extend_volume(volume, size)
        self.wait_for_status(storage.get_volume, volume, 'available')

    def cinder_record(self, backup: str) -> dict[str, Any]:
        """Return all that Cinder keeps of a backup: what it exports."""
        answer = self.admin.block_storage.get(
            f'/backups/{backup}/export_record'
        )
        sdk_errors.raise_from_response(answer)
        exported = answer.json()['backup-record']['backup_url']
        return json.loads(base64.b64decode(exported))

    def test_every_image_of_a_chain_restores_after_the_middle_is_gone(self):
        volume = self.filled()
        backups = []
        for number in range(3):
            self.write(volume, number * 3 * MIB + 12345, os.urandom(MIB))
            backups.append((self.sha256(volume), self.backup(volume)))
        self.delete_backup(backups.pop(1)[1])
        self.collect()
        for digest, backup in backups:
            self.assertEqual(digest, self.sha256(self.restore(backup)))
        self.write(volume, 100 * MIB, os.urandom(5 * MIB))
        digest, backup = backups[0]
        self.restore(backup, volume)
        self.assertEqual(digest, self.sha256(volume))

    def test_second_backup_stores_changed_chunks_only(self):
        volume = self.filled()
        first = self.image(self.backup(volume))
        self.assertEqual('full', first['kind'])
        self.assertGreaterEqual(first['bytes_stored'], 9 * MIB)
        self.write(volume, 5 * MIB, os.urandom(2 * CHUNK))
        second = self.image(self.backup(volume))
        self.assertEqual('incremental', second['kind'])
        self.assertGreaterEqual(second['bytes_stored'], 2 * CHUNK)
        self.assertLess(second['bytes_stored'], 3 * CHUNK)
        self.assertEqual(first['generation'] + 1, second['generation'])

    def test_unchanged_volume_stores_nothing(self):
        volume = self.filled()
        self.backup(volume)
        self.assertEqual(0, self.image(self.backup(volume))['bytes_stored'])

    def test_requested_incremental_is_independent_in_cinder(self):
        volume = self.filled()
        first = self.backup(volume)
        self.write(volume, MIB, os.urandom(MIB))
        digest = self.sha256(volume)
        second = self.backup(volume, is_incremental=True)
        found = self.wait_for_backup(second, 'available')
        self.assertFalse(found.is_incremental)
        self.delete_backup(first)
        self.assertEqual(digest, self.sha256(self.restore(second)))

    def test_cinder_learns_what_was_read_and_stored(self):
        volume = self.filled()
        backup = self.backup(volume)
        record = self.cinder_record(backup)
        self.assertEqual(1, record['size'])
        image = self.image(backup)
        self.assertGreaterEqual(image['bytes_stored'], 9 * MIB)
        self.assertEqual(
            {
                'v': 1,
                'kind': 'full',
                'read': image['bytes_read'],
                'stored': image['bytes_stored'],
                'gen': image['generation'],
            },
            json.loads(record['service_metadata']),
        )

    def test_snapshot(self):
        volume = self.filled()
        digest = self.sha256(volume)
        snapshot = self.create_snapshot(volume)
        self.write(volume, 0, os.urandom(MIB))
        backup = self.backup(volume, snapshot_id=snapshot)
        self.assertEqual(digest, self.sha256(self.restore(backup)))

    def test_snapshot_of_a_volume_that_has_grown_since(self):
        volume = self.filled()
        snapshot = self.create_snapshot(volume)
        self.extend(volume, 2)
        self.write(volume, base.GIB + MIB, os.urandom(MIB))
        backup = self.backup(volume, snapshot_id=snapshot)
        # Cinder attaches the snapshot, or a clone as large as the volume is.
        attached = 1 if self.volume_type == 'block' else 2
        self.assertEqual(attached * base.GIB, self.image(backup)['size'])
        restored = self.restore(backup)
        same = self.create_volume(2, self.volume_type, snapshot_id=snapshot)
        self.assertEqual(self.sha256(same), self.sha256(restored))

    def test_grown_volume_is_still_incremental(self):
        volume = self.filled()
        self.backup(volume)
        self.extend(volume, 2)
        self.write(volume, base.GIB + MIB, os.urandom(MIB))
        digest = self.sha256(volume)
        backup = self.backup(volume)
        image = self.image(backup)
        self.assertEqual('incremental', image['kind'])
        self.assertLess(image['bytes_stored'], MIB + 3 * CHUNK)
        self.assertEqual(digest, self.sha256(self.restore(backup)))

    def test_larger_volume_keeps_its_tail_or_reads_zeros(self):
        volume = self.filled()
        backup = self.backup(volume)
        larger = self.create_volume(2, self.volume_type)
        tail = os.urandom(MIB)
        self.write(larger, base.GIB + MIB, tail)
        self.restore(backup, larger)
        self.assertEqual(2 * base.GIB, self.volume_path(larger).stat().st_size)
        self.assertEqual(
            self.read(volume, 0, 8 * MIB), self.read(larger, 0, 8 * MIB)
        )
        # Cinder has truncated a plain file before anybody could look at it.
        kept = tail if self.volume_type == 'block' else bytes(MIB)
        self.assertEqual(kept, self.read(larger, base.GIB + MIB, MIB))

    def test_volume_that_was_cloned_from_another(self):
        origin = self.filled()
        clone = self.create_volume(
            1, self.volume_type, source_volume_id=origin
        )
        self.write(clone, 3 * MIB + 5, os.urandom(MIB))
        self.write(clone, 200 * MIB, os.urandom(MIB))
        digest = self.sha256(clone)
        self.assertNotEqual(self.sha256(origin), digest)
        restored = self.restored(self.backup(clone))
        self.assertEqual(digest, self.sha256(restored))

    def test_restored_boot_volume_is_bootable(self):
        volume = self.filled()
        self.make_bootable(volume, hw_disk_bus='scsi', os_type='linux')
        restored = self.restored(self.backup(volume))
        self.assertEqual(self.sha256(volume), self.sha256(restored))
        found = self.demo.block_storage.get_volume(restored)
        self.assertTrue(found.is_bootable)
        self.assertEqual('scsi', found.volume_image_metadata['hw_disk_bus'])

    def test_restore_writes_only_what_differs(self):
        volume = self.filled()
        digest = self.sha256(volume)
        backup = self.backup(volume)
        self.write(volume, 2 * MIB, os.urandom(2 * CHUNK))
        self.write(volume, 500 * MIB, os.urandom(MIB))
        self.restore(backup, volume)
        self.assertEqual(digest, self.sha256(volume))
        written = self.jobs(backup, 'restore')[0]['result']['bytes_written']
        if self.volume_type == 'block':
            self.assertLessEqual(written, 2 * CHUNK + MIB)

    def test_empty_volume(self):
        volume = self.create_volume(1, self.volume_type)
        backup = self.backup(volume)
        self.assertEqual(0, self.image(backup)['bytes_stored'])
        restored = self.restore(backup)
        self.assertEqual(self.sha256(volume), self.sha256(restored))
        self.assertEqual(base.GIB, self.volume_path(restored).stat().st_size)
