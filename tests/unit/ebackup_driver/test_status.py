# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from oslo_db import exception as db_exception

from ebackup_driver import errors
from ebackup_driver import status
from tests import base
from tests.unit.ebackup_driver import cinder_records


class TestStatus(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        cinder_records.prepare()
        self.backup = cinder_records.backup(cinder_records.volume())

    def becomes(self, value):
        cinder_records.set_status(self.backup.id, value)

    def test_creating_is_fine_while_creating(self):
        status.check_creating(self.backup)

    def test_every_other_one_ends_a_backup(self):
        for value in ('error', 'available', 'restoring', 'error_deleting'):
            self.becomes(value)
            error = self.assertRaises(
                errors.Withdrawn, status.check_creating, self.backup
            )
            self.assertIn(f'reset to {value}', str(error))
            self.assertFalse(status.is_deleted(self.backup))

    def test_deletion_is_told_apart(self):
        for value in ('deleting', 'deleted'):
            self.becomes(value)
            self.assertRaises(
                errors.BackupDeleted, status.check_creating, self.backup
            )
            self.assertTrue(status.is_deleted(self.backup))

    def test_a_destroyed_record_is_found(self):
        cinder_records.stored(self.backup.id).destroy()
        self.assertTrue(status.is_deleted(self.backup))

    def test_operation_goes_on_while_the_database_is_away(self):
        error = db_exception.DBConnectionError('gone')
        with mock.patch.object(
            type(self.backup), 'refresh', side_effect=error
        ):
            status.check_creating(self.backup)
        self.becomes('error')
        self.assertRaises(errors.Withdrawn, status.check_creating, self.backup)

    def test_the_context_sees_no_deleted_records_afterwards(self):
        status.is_deleted(self.backup)
        self.assertEqual('no', self.backup._context.read_deleted)

    def test_every_other_than_restoring_ends_a_restore(self):
        self.becomes('restoring')
        status.check_restoring(self.backup)
        for value in ('error', 'available', 'creating', 'deleting'):
            self.becomes(value)
            self.assertRaises(
                errors.Withdrawn, status.check_restoring, self.backup
            )
