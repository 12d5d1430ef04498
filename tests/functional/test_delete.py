# SPDX-License-Identifier: Apache-2.0
"""Deleting in any order, and getting the space back."""

import os

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB


class DeleteTestCase(ebackup_case.EBackupTestCase):
    def test_space_of_deleted_images_comes_back(self):
        self.collect()
        before = self.used()
        volume = self.create_volume()
        backups = []
        for number in range(3):
            self.write(volume, number * 10 * MIB, os.urandom(10 * MIB))
            backups.append(self.backup(volume))
        self.assertGreater(self.used(), before + 29 * MIB)
        for backup in backups:
            self.delete_backup(backup)
        self.collect()
        self.assertLessEqual(self.used(), before + MIB)

    def test_space_comes_back_without_being_asked(self):
        self.collect()
        before = self.used()
        volume = self.create_volume()
        self.write(volume, 0, os.urandom(10 * MIB))
        self.delete_backup(self.backup(volume))
        self.wait_for(
            lambda: self.used() <= before + MIB, 'garbage is collected'
        )

    def test_backup_whose_image_is_gone_can_be_deleted(self):
        backup = self.backup(self.create_volume())
        job = self.call('DELETE', f'/v1/images/{backup}')['job']
        self.assertEqual('succeeded', self.wait_for_job(job['id'])['state'])
        self.delete_backup(backup)

    def test_deleting_an_image_twice_does_no_harm(self):
        backup = self.backup(self.create_volume())
        self.delete_backup(backup)
        answer = self.service('cinder').delete(f'/v1/images/{backup}')
        self.assertEqual(204, answer.status_code)
        answer = self.service().get(f'/v1/images/{backup}')
        self.assertEqual(404, answer.status_code)
