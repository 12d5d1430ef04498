# SPDX-License-Identifier: Apache-2.0
"""Export and import of backup records."""

from cinder import exception
from cinder import objects

from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import test_driver_backup


class TestRecords(test_driver_backup.BackupTestCase):
    def setUp(self):
        super().setUp()
        self.make()
        self.exported = self.driver().export_record(self.backup)

    def import_as(self, project_id, driver_info=None):
        backup = cinder_records.stored(self.backup.id)
        backup.project_id = project_id
        self.driver(cinder_records.user_context(project_id)).import_record(
            backup, self.exported if driver_info is None else driver_info
        )

    def test_survive_cinders_encoding(self):
        url = self.backup.encode_record(driver_info=self.exported)
        decoded = objects.Backup.decode_record(url)
        self.import_as(cinder_records.PROJECT, decoded['driver_info'])
        (request,) = self.service.said('PUT', '/v1/images/[^/]+/record')
        self.assertEqual(self.exported, request.body['record'])
        self.assertEqual(cinder_records.PROJECT, request.body['project_id'])

    def test_leave_the_volumes_metadata_out(self):
        # Cinder's API takes no more than 112 KiB at import.
        self.assertNotIn('volume-base-metadata', str(self.exported))

    def test_are_refused_to_another_project(self):
        error = self.assertRaises(
            exception.BackupDriverException,
            self.import_as,
            cinder_records.OTHER_PROJECT,
        )
        self.assertEqual('The project has no image.', str(error))

    def test_are_refused_if_forged(self):
        forged = {**self.exported, 'size': 1}
        self.assertRaises(
            exception.BackupDriverException,
            self.import_as,
            cinder_records.PROJECT,
            forged,
        )

    def test_of_another_backup_are_refused_here(self):
        before = len(self.service.requests)
        for info in (
            {**self.exported, 'image_id': self.volume.id},
            {'image_id': None},
            {},
            ['image_id'],
        ):
            self.assertRaises(
                exception.BackupDriverException,
                self.import_as,
                cinder_records.PROJECT,
                info,
            )
        self.assertEqual(before, len(self.service.requests))

    def test_of_an_unknown_image_cannot_be_exported(self):
        self.service.images.clear()
        self.assertRaises(
            exception.BackupDriverException,
            self.driver().export_record,
            self.backup,
        )
