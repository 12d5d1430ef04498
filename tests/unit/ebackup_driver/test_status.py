# SPDX-License-Identifier: Apache-2.0
import time
from unittest import mock

from oslo_db import exception as db_exception
from sqlalchemy import exc as sql_exception

from ebackup_driver import errors
from ebackup_driver import status
from tests import base
from tests.unit.ebackup_driver import cinder_records

# Those of oslo.db, and those that it passes on as they are.
DATABASE_ERRORS = (
    db_exception.DBConnectionError('gone'),
    db_exception.DBError('no column'),
    sql_exception.OperationalError(
        'SELECT backups.id', {}, Exception(1040, 'Too many connections')
    ),
    sql_exception.TimeoutError('QueuePool limit reached'),
)


class StatusTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        cinder_records.prepare()
        self.backup = cinder_records.backup(cinder_records.volume())

    def becomes(self, value):
        cinder_records.set_status(self.backup.id, value)

    def failing(self, error):
        return mock.patch.object(
            type(self.backup), 'refresh', side_effect=error
        )


class TestStatus(StatusTestCase):
    def test_creating_is_fine_while_creating(self):
        status.check_creating(self.backup)

    def test_every_other_one_ends_a_backup(self):
        for value in ('error', 'available', 'restoring', 'error_deleting'):
            self.becomes(value)
            error = self.assertRaises(
                errors.Withdrawn, status.check_creating, self.backup
            )
            self.assertIn(f'reset to {value}', str(error))
            self.assertFalse(status.looks_deleted(self.backup))

    def test_deletion_is_told_apart(self):
        for value in ('deleting', 'deleted'):
            self.becomes(value)
            self.assertRaises(
                errors.BackupDeleted, status.check_creating, self.backup
            )
            self.assertTrue(status.looks_deleted(self.backup))

    def test_a_destroyed_record_is_found(self):
        cinder_records.stored(self.backup.id).destroy()
        self.assertTrue(status.looks_deleted(self.backup))

    def test_the_context_sees_no_deleted_records_afterwards(self):
        status.looks_deleted(self.backup)
        self.assertEqual('no', self.backup._context.read_deleted)

    def test_every_other_than_restoring_ends_a_restore(self):
        self.becomes('restoring')
        status.check_restoring(self.backup)
        for value in ('error', 'available', 'creating', 'deleting'):
            self.becomes(value)
            self.assertRaises(
                errors.Withdrawn, status.check_restoring, self.backup
            )

    def test_what_was_read_last_counts_when_the_database_fails(self):
        for error in DATABASE_ERRORS:
            with self.failing(error):
                self.assertFalse(status.looks_deleted(self.backup))
        self.becomes('deleting')
        status.looks_deleted(self.backup)
        for error in DATABASE_ERRORS:
            with self.failing(error):
                self.assertTrue(status.looks_deleted(self.backup))


class TestWatch(StatusTestCase):
    def setUp(self):
        super().setUp()
        self.watch = status.Watch(status.check_creating, self.backup, 60)
        self.now = 1000.0
        clock = mock.Mock(wraps=time, monotonic=lambda: self.now)
        patch = mock.patch.object(status, 'time', clock)
        patch.start()
        self.addCleanup(patch.stop)

    def fail_after(self, seconds, error=DATABASE_ERRORS[2]):
        self.now += seconds
        with self.failing(error):
            self.watch()

    def test_raises_what_the_check_does(self):
        self.watch()
        self.becomes('error')
        self.assertRaises(errors.Withdrawn, self.watch)

    def test_bears_any_error_of_the_database(self):
        for error in DATABASE_ERRORS:
            self.fail_after(1, error)
        self.watch()
        self.becomes('error')
        self.assertRaises(errors.Withdrawn, self.watch)

    def test_bears_none_for_longer_than_the_timeout(self):
        self.fail_after(0)
        self.fail_after(59.9)
        error = self.assertRaises(
            errors.RecordUnreadable, self.fail_after, 0.2
        )
        self.assertRegex(
            str(error),
            "^Cinder's database failed for 60 s .*" + self.backup.id,
        )
        self.assertNotIn('SELECT', str(error))

    def test_single_errors_do_not_add_up(self):
        for _ in range(4):
            self.fail_after(30)
            self.watch()

    def test_time_without_a_look_does_not_count(self):
        self.watch()
        self.fail_after(3600)

    def test_other_errors_are_not_borne(self):
        self.assertRaises(RuntimeError, self.fail_after, 0, RuntimeError('x'))
