# SPDX-License-Identifier: Apache-2.0
"""Operations that are withdrawn in the middle."""

import os
import time

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
# A volume of 1 GiB takes more than half a minute.
SLOW = 32 * MIB


class CancelTestCase(ebackup_case.EBackupTestCase):
    def setUp(self) -> None:
        super().setUp()
        # All of a block device is read, of a plain file not even the holes.
        self.volume = self.create_volume(volume_type='block')
        self.write(self.volume, 0, os.urandom(8 * MIB))


class BackupTestCase(CancelTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        ebackup_case.throttle_class(cls, SLOW)

    def test_force_delete_of_a_backup_being_made(self):
        backup = self.start_backup(self.volume)
        job = self.wait_for_progress(backup, 'backup')
        self.admin.block_storage.delete_backup(backup, force=True)
        self.wait_until_gone(self.admin.block_storage.get_backup, backup)
        self.assertEqual('cancelled', self.job(job['id'])['state'])
        answer = self.service().get(f'/v1/images/{backup}')
        self.assertEqual(404, answer.status_code)
        fetch = self.demo.block_storage.get_volume
        self.wait_for_status(fetch, self.volume, 'available')

    def test_reset_of_a_backup_being_made(self):
        backup = self.start_backup(self.volume)
        job = self.wait_for_progress(backup, 'backup')
        self.admin.block_storage.reset_backup_status(backup, 'error')
        self.assertEqual('cancelled', self.wait_for_job(job['id'])['state'])
        fetch = self.demo.block_storage.get_volume
        self.wait_for_status(fetch, self.volume, 'available')
        self.assertEqual(
            'error', self.admin.block_storage.get_backup(backup).status
        )

    def test_operator_cancels_the_job(self):
        backup = self.start_backup(self.volume)
        job = self.wait_for_progress(backup, 'backup')
        asked = time.monotonic()
        self.call('POST', f'/v1/jobs/{job["id"]}/cancel')
        self.wait_for_job(job['id'])
        self.assertLess(time.monotonic() - asked, 5)
        found = self.wait_for_backup(backup, 'error')
        self.assertIn('ancelled', found.fail_reason)
        fetch = self.demo.block_storage.get_volume
        self.wait_for_status(fetch, self.volume, 'available')

    def test_progress_can_be_read(self):
        backup = self.start_backup(self.volume)
        progress = self.wait_for_progress(backup, 'backup')['progress']
        self.assertEqual(base.GIB, progress['bytes_total'])
        self.assertLess(0, progress['percent'])
        self.assertLess(progress['percent'], 100)
        self.assertLess(0, progress['rate'])
        self.assertLess(0, progress['remaining'])


class RestoreTestCase(CancelTestCase):
    def test_reset_of_a_restore(self):
        backup = self.backup(self.volume)
        self.write(self.volume, 0, os.urandom(8 * MIB))
        self.useFixture(ebackup_case.Throttle(self.lab, SLOW))
        self.start_restore(backup, self.volume)
        job = self.wait_for_progress(backup, 'restore')
        self.admin.block_storage.reset_backup_status(backup, 'error')
        self.assertEqual('cancelled', self.wait_for_job(job['id'])['state'])
        fetch = self.demo.block_storage.get_volume
        self.wait_for_status(fetch, self.volume, 'error')
        self.wait_for_backup(backup, 'available')

    def test_another_restore_to_a_plain_file(self):
        """Cinder empties the file for it, under the one that still runs."""
        volume = self.create_volume(volume_type='file')
        data = os.urandom(192 * MIB)
        self.write(volume, 0, data)
        first, second = self.backup(volume), self.backup(volume)
        throttle = self.useFixture(ebackup_case.Throttle(self.lab, SLOW))
        self.start_restore(first, volume)
        job = self.wait_for_progress(first, 'restore')
        admin = self.admin.block_storage
        admin.reset_volume_status(volume, status='available')
        self.start_restore(second, volume)
        ended = self.wait_for_job(job['id'])
        self.assertEqual('cancelled', ended['state'])
        self.assertIn('emptied', ended['error']['message'])
        for backup in first, second:
            self.wait_for_backup(backup, 'available')
        throttle.lift()
        admin.reset_volume_status(volume, status='available')
        self.restore(second, volume)
        self.assertEqual(data, self.read(volume, 0, len(data)))
