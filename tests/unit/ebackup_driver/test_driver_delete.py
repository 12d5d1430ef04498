# SPDX-License-Identifier: Apache-2.0
from cinder import exception

from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import test_driver_backup


class TestDelete(test_driver_backup.BackupTestCase):
    def delete(self):
        self.driver().delete_backup(self.backup)

    def test_waits_for_the_job(self):
        self.make()
        self.service.requests.clear()
        self.service.beats_needed = 3
        self.delete()
        self.assertEqual(
            ['succeeded', 'succeeded'], self.job_states('backup', 'delete')
        )
        self.assertEqual(3, len(self.service.said('POST', base.BEAT)))
        self.assertEqual({}, self.service.images)

    def test_again_is_no_harm(self):
        self.make()
        self.delete()
        self.delete()
        self.assertEqual({}, self.service.images)

    def test_of_an_unknown_image_leaves_a_tombstone(self):
        self.delete()
        self.assertEqual({self.backup.id}, self.service.tombstones)

    def test_of_another_projects_image_is_of_the_backup_only(self):
        self.make()
        self.service.images[self.backup.id]['project_id'] = 'another'
        self.delete()
        self.assertEqual([self.backup.id], list(self.service.images))
        self.assertEqual(set(), self.service.tombstones)

    def test_that_fails_says_why(self):
        self.make()
        self.service.failure = ('read-only', 'Read-only file system: /r.')
        error = self.assertRaises(exception.BackupDriverException, self.delete)
        self.assertEqual('Read-only file system: /r.', str(error))

    def test_may_be_forced(self):
        self.assertTrue(self.driver().support_force_delete)
