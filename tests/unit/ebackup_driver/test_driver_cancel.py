# SPDX-License-Identifier: Apache-2.0
"""How the driver leaves an operation that is not wanted any more."""

import time
from unittest import mock

from cinder import exception
import fixtures
import greenlet

from ebackup_driver import status
from ebackup_driver import waiting
from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import played_service
from tests.unit.ebackup_driver import test_driver_backup
from tests.unit.ebackup_driver import test_driver_restore


class TestBackupDeleted(test_driver_backup.BackupTestCase):
    def setUp(self):
        super().setUp()
        self.service.beats_needed = None

    def set_status(self, status):
        cinder_records.set_status(self.backup.id, status)

    def delete_at_beat(self, nth):
        self.at('POST', base.BEAT, lambda: self.set_status('deleting'), nth)

    def test_returns_normally_after_cancelling(self):
        self.delete_at_beat(2)
        self.assertIsNone(self.make())
        self.assertEqual(['cancelled'], self.job_states())

    def test_returns_when_the_job_has_ended_and_no_earlier(self):
        self.service.looks_to_stop = 4
        self.delete_at_beat(1)
        self.make()
        self.assertEqual(4, len(self.service.said('GET', base.JOB)))
        self.assertEqual(['cancelled'], self.job_states())

    def test_a_cancelled_job_gets_no_beat(self):
        self.delete_at_beat(3)
        self.make()
        self.assert_no_beat_after('POST', base.CANCEL)

    def test_is_seen_when_the_record_is_destroyed_already(self):
        other = cinder_records.stored(self.backup.id)
        self.at('POST', base.BEAT, other.destroy, 2)
        self.assertIsNone(self.make())
        self.assertEqual(['cancelled'], self.job_states())

    def test_is_seen_when_the_record_is_gone(self):
        self.at('POST', base.BEAT, self.purge, 2)
        self.assertIsNone(self.make())
        self.assertEqual(['cancelled'], self.job_states())

    def purge(self):
        missing = exception.BackupNotFound(backup_id=self.backup.id)
        self.useFixture(
            fixtures.MockPatchObject(
                type(self.backup), 'refresh', side_effect=missing
            )
        )

    def test_is_seen_before_anything_is_asked(self):
        self.set_status('deleting')
        self.assertIsNone(self.make())
        self.assertEqual([], self.service.requests)

    def test_is_seen_when_the_service_cancelled_first(self):
        # The forced delete runs beside this and reaches the service first.
        def delete():
            self.set_status('deleting')
            self.driver().delete_backup(cinder_records.stored(self.backup.id))

        self.service.beats_needed = 3
        self.at('POST', base.BEAT, delete, 2)
        self.assertIsNone(self.make())
        self.assertEqual({}, self.service.images)

    def test_image_that_is_there_already_is_deleted(self):
        """Cinder asks nobody if it read the backup before it was ours."""
        self.service.beats_needed = 2
        self.delete_at_beat(2)
        self.assertIsNone(self.make())
        self.assertIn('succeeded', self.job_states())
        self.assertEqual({self.backup.id}, self.service.tombstones)

    def test_image_that_can_not_be_deleted(self):
        def refuse():
            raise played_service.Refusal(403, 'forbidden')

        self.service.beats_needed = 2
        self.delete_at_beat(2)
        self.at('DELETE', base.IMAGE, refuse)
        self.assertIsNone(self.make())

    def test_may_arrive_before_the_backup_does(self):
        # Cinder asks for the deletion between our first look and the PUT.
        def delete():
            self.set_status('deleting')
            self.driver().delete_backup(cinder_records.stored(self.backup.id))

        self.at('PUT', base.IMAGE, delete)
        self.assertIsNone(self.make())
        self.assertEqual({self.backup.id}, self.service.tombstones)
        self.assertEqual({}, self.service.images)

    def test_a_tombstone_alone_is_an_error(self):
        self.service.tombstones.add(self.backup.id)
        error = self.assertRaises(exception.BackupDriverException, self.make)
        self.assertEqual('The image was deleted.', str(error))


class TestBackupReset(test_driver_backup.BackupTestCase):
    def reset(self):
        cinder_records.set_status(self.backup.id, 'error')

    def test_cancels_the_job_and_raises(self):
        self.service.beats_needed = None
        self.at('POST', base.BEAT, self.reset, 2)
        error = self.assertRaises(exception.BackupDriverException, self.make)
        self.assertTrue(str(error).startswith('Cancelled: state of backup'))
        self.assertEqual(['cancelled'], self.job_states())

    def test_raises_although_the_job_succeeded_meanwhile(self):
        self.at('POST', base.BEAT, self.reset, self.service.beats_needed)
        self.assertRaises(exception.BackupDriverException, self.make)
        self.assertEqual(['succeeded'], self.job_states())


class TestOtherEnds(test_driver_backup.BackupTestCase):
    """However the wait is left, nothing goes on beating for the job."""

    def setUp(self):
        super().setUp()
        self.service.beats_needed = None

    def test_an_operator_cancels_the_job(self):
        def cancel():
            for job in self.service.jobs.values():
                self.service._end(job, 'cancelled', 'cancelled', 'By Eve.')

        self.at('POST', base.BEAT, cancel, 2)
        error = self.assertRaises(exception.BackupDriverException, self.make)
        self.assertEqual('By Eve.', str(error))

    def test_an_error_in_cinder_cancels_the_job(self):
        looks = [None, None, RuntimeError('no database')]
        self.useFixture(
            fixtures.MockPatchObject(
                status, 'check_creating', side_effect=looks
            )
        )
        self.assertRaises(RuntimeError, self.make)
        self.assertEqual(['cancelled'], self.job_states())
        self.assert_no_beat_after('POST', base.CANCEL)

    def test_the_end_of_the_greenlet_is_not_held_up(self):
        naps = [None, None, greenlet.GreenletExit()]
        clock = mock.Mock(wraps=time, sleep=mock.Mock(side_effect=naps))
        with mock.patch.object(waiting, 'time', clock):
            self.assertRaises(greenlet.GreenletExit, self.make)
        self.assertEqual(['running'], self.job_states())
        self.assertEqual([], self.service.said('POST', base.CANCEL))
        self.assertEqual(2, len(self.service.said('POST', base.BEAT)))


class TestRestoreReset(test_driver_restore.RestoreTestCase):
    def setUp(self):
        super().setUp()
        self.service.beats_needed = None

    def set_status(self, status):
        cinder_records.set_status(self.backup.id, status)

    def test_cancels_the_job_and_tells_cinder(self):
        self.at('POST', base.BEAT, lambda: self.set_status('error'), 2)
        error = self.assertRaises(exception.BackupRestoreCancel, self.restore)
        self.assertIn(self.target.id, str(error))
        self.assertEqual(['succeeded', 'cancelled'], self.job_states())

    def test_returns_when_nothing_writes_any_more(self):
        self.service.looks_to_stop = 4
        self.at('POST', base.BEAT, lambda: self.set_status('available'), 2)
        self.assertRaises(exception.BackupRestoreCancel, self.restore)
        self.assertEqual(4, len(self.service.said('GET', base.JOB)))
        self.assertEqual(['succeeded', 'cancelled'], self.job_states())
        self.assert_no_beat_after('POST', base.CANCEL)

    def test_puts_no_metadata_back(self):
        self.at('POST', base.BEAT, lambda: self.set_status('error'))
        self.assertRaises(exception.BackupRestoreCancel, self.restore)
        self.assertEqual({}, self.target_metadata())

    def test_before_the_start_leaves_the_volume_alone(self):
        self.set_status('error')
        self.assertRaises(exception.BackupRestoreCancel, self.restore)
        self.assertEqual([], self.service.said('PUT', '/v1/restores/.*'))
