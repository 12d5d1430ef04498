# SPDX-License-Identifier: Apache-2.0
"""The service does not answer, at first, in between, or for good."""

import itertools
import time
from unittest import mock

from cinder import exception
from sqlalchemy import exc as sql_exception

from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import played_service
from tests.unit.ebackup_driver import test_driver_backup
from tests.unit.ebackup_driver import test_driver_restore


class OutageTestCase(test_driver_backup.BackupTestCase):
    def setUp(self):
        super().setUp()
        self.configure(service_timeout=1.0)

    def fail(self, action=None):
        error = self.assertRaises(
            exception.BackupDriverException, action or self.make
        )
        self.assertLess(len(str(error)), 255)
        return str(error)

    def refuse(self, status):
        def hook(request):
            raise played_service.Refusal(status, 'away', 'Starting up.')

        self.service.hooks.append(hook)


class TestFromTheStart(OutageTestCase):
    def test_fails_naming_the_cause_first(self):
        self.server.stop()
        url = self.server.url
        self.assertRegex(
            self.fail(), f'^Connection refused: no connection to {url} for'
        )

    def test_fails_after_the_timeout_and_no_earlier(self):
        self.server.stop()
        started = time.monotonic()
        self.fail()
        self.assertGreater(time.monotonic() - started, 0.5)

    def test_an_unknown_host_is_named(self):
        self.configure(endpoint_override='http://backup.invalid:8790')
        self.assertIn('http://backup.invalid:8790', self.fail())

    def test_a_gateway_without_its_service_counts_as_outage(self):
        self.refuse(503)
        self.assertRegex(self.fail(), '^Starting up. for')
        self.assertGreater(len(self.service.requests), 1)

    def test_a_deletion_fails_likewise(self):
        self.server.stop()
        self.assertRegex(
            self.fail(lambda: self.driver().delete_backup(self.backup)),
            '^Connection refused',
        )

    def test_an_export_fails_likewise(self):
        self.server.stop()
        self.fail(lambda: self.driver().export_record(self.backup))

    def test_a_start_up_in_time_is_waited_for(self):
        self.configure(service_timeout=20.0)
        refusals = [503, 503, 502]

        def hook(request):
            if refusals:
                raise played_service.Refusal(refusals.pop(), 'away')

        self.service.hooks.append(hook)
        self.assertIn('service_metadata', self.make())


class TestInTheMiddle(OutageTestCase):
    def test_ends_the_wait_after_the_timeout(self):
        self.service.beats_needed = None
        self.at('POST', base.BEAT, self.server.stop, 2)
        self.assertRegex(
            self.fail(), '^Conn.*: no connection to .* for [0-9]+ s'
        )
        self.assertEqual(2, len(self.service.said('POST', base.BEAT)))

    def test_is_borne_when_it_is_short(self):
        self.configure(service_timeout=20.0)
        self.at('POST', base.BEAT, self.restart, 2)
        self.service.beats_needed = 4
        self.assertIn('service_metadata', self.make())

    def restart(self):
        self.server.stop()
        self.server.start()

    def test_single_failures_do_not_add_up(self):
        # Together they last longer than the timeout.
        self.configure(service_timeout=3.0)
        self.service.beats_needed = 20

        def hook(request):
            beats = len(self.service.said('POST', base.BEAT))
            if request.path.endswith('/heartbeat') and beats % 2:
                raise played_service.Refusal(503, 'busy')

        self.service.hooks.append(hook)
        self.assertIn('service_metadata', self.make())

    def test_a_deletion_is_seen_meanwhile(self):
        self.configure(service_timeout=20.0)
        self.service.beats_needed = None

        def hook(request):
            beats = len(self.service.said('POST', base.BEAT))
            if not request.path.endswith('/heartbeat') or beats < 2:
                return
            if beats == 4:
                cinder_records.set_status(self.backup.id, 'deleting')
            raise played_service.Refusal(503, 'busy')

        self.service.hooks.append(hook)
        self.assertIsNone(self.make())
        self.assertEqual(['cancelled'], self.job_states())

    def test_a_cancelled_job_that_cannot_be_told_is_left(self):
        # Without a beat it ends by itself.
        self.service.beats_needed = None

        def delete():
            cinder_records.set_status(self.backup.id, 'deleting')
            self.server.stop()

        self.at('POST', base.BEAT, delete, 2)
        self.assertIsNone(self.make())
        self.assertEqual([], self.service.said('POST', base.CANCEL))

    def test_a_job_that_the_service_forgot_is_an_error(self):
        self.at('POST', base.BEAT, self.service.jobs.clear, 2)
        self.assertRegex(self.fail(), '^No job')

    def test_a_job_that_the_service_gave_up_says_why(self):
        self.service.failure = ('proxy-lost', 'Proxy p1 is lost. ' * 40)
        message = self.fail()
        self.assertRegex(message, '^Proxy p1 is lost')
        self.assertTrue(message.endswith('...'))


class TestOfCindersDatabase(OutageTestCase):
    def lose_database(self, looks=1_000_000):
        """Let so many looks fail; by default, all."""
        refresh = type(self.backup).refresh
        failed = sql_exception.OperationalError(
            'SELECT backups.id', {}, Exception(1040, 'Too many connections')
        )
        left = itertools.repeat(failed, looks)

        def fail(backup):
            for error in left:
                raise error
            return refresh(backup)

        patch = mock.patch.object(type(self.backup), 'refresh', fail)
        patch.start()
        self.addCleanup(patch.stop)

    def test_is_borne_when_it_is_short(self):
        self.at('POST', base.BEAT, lambda: self.lose_database(looks=2), 2)
        self.service.beats_needed = 6
        self.assertIn('service_metadata', self.make())
        self.assertEqual(['succeeded'], self.job_states())

    def test_cancels_the_job_after_the_timeout(self):
        self.service.beats_needed = None
        self.at('POST', base.BEAT, self.lose_database, 2)
        self.assertRegex(
            self.fail(),
            "^Cinder's database failed for [0-9]+ s and does not tell "
            f'whether backup {self.backup.id} is still wanted',
        )
        self.assertEqual(['cancelled'], self.job_states())


class TestRefusal(OutageTestCase):
    def test_of_the_path_cancels_the_job(self):
        def hook(request):
            if request.path.endswith('/attachment'):
                raise played_service.Refusal(
                    400, 'path-forbidden', 'Path is outside the roots.'
                )

        self.service.hooks.append(hook)
        self.assertEqual('Path is outside the roots.', self.fail())
        self.assertEqual(['cancelled'], self.job_states())

    def test_of_the_path_because_the_job_ended_tells_why_it_did(self):
        def end():
            for job in self.service.jobs.values():
                job['needs'] = None
                self.service._end(job, 'failed', 'no-proxy', 'No proxy here.')

        self.at('PUT', base.JOB + '/attachment', end)
        self.assertEqual('No proxy here.', self.fail())

    def test_of_a_cancellation_because_the_job_ended_is_no_error(self):
        self.service.beats_needed = None

        def delete():
            cinder_records.set_status(self.backup.id, 'deleting')

        def hook(request):
            if request.path.endswith('/cancel'):
                (job,) = self.service.jobs.values()
                self.service._end(job, 'failed', 'any', 'Any.')
                raise played_service.Refusal(409, 'job-ended')

        self.at('POST', base.BEAT, delete, 2)
        self.service.hooks.append(hook)
        self.assertIsNone(self.make())

    def test_of_the_credentials_reveals_none(self):
        self.configure(
            auth_type='http_basic', username='cinder', password='s3cret'
        )
        self.refuse(401)
        self.assertNotIn('s3cret', self.fail())
        self.assertEqual(1, len(self.service.requests))

    def test_of_too_large_metadata_is_not_repeated(self):
        self.refuse(413)
        self.fail()
        self.assertEqual(1, len(self.service.requests))


class TestWithdrawn(OutageTestCase):
    """What Cinder wants is looked at between any two attempts."""

    def setUp(self):
        super().setUp()
        # Nobody waits for its end.
        self.configure(service_timeout=20.0)

    def withdraw_at(self, method, pattern, status):
        def withdraw():
            cinder_records.set_status(self.backup.id, status)
            raise played_service.Refusal(503, 'away')

        self.at(method, pattern, withdraw)

    def test_at_the_reservation_by_a_deletion(self):
        self.withdraw_at('PUT', base.IMAGE, 'deleting')
        self.assertIsNone(self.make())
        # The image may be there although the answer was lost.
        self.assertEqual(
            ['PUT', 'DELETE'], [r.method for r in self.service.requests]
        )

    def test_at_the_reservation_by_a_reset(self):
        self.withdraw_at('PUT', base.IMAGE, 'error')
        self.assertRegex(self.fail(), '^Cancelled: state of backup')
        self.assertEqual(1, len(self.service.requests))

    def test_when_the_image_is_looked_at(self):
        self.withdraw_at('GET', base.IMAGE, 'deleting')
        self.assertIsNone(self.make())
        self.assertEqual(1, len(self.service.said('GET', base.IMAGE)))


class TestRestore(test_driver_restore.RestoreTestCase):
    def test_fails_when_the_service_is_lost(self):
        self.configure(service_timeout=1.0)
        self.service.beats_needed = None
        self.at('POST', base.BEAT, self.server.stop, 2)
        error = self.assertRaises(
            exception.BackupDriverException, self.restore
        )
        self.assertRegex(
            str(error), '^Conn.*: no connection to .* for [0-9]+ s'
        )
        self.assertEqual({}, self.target_metadata())

    def test_is_withdrawn_at_any_request(self):
        self.configure(service_timeout=20.0)
        for method, pattern in (
            ('GET', base.IMAGE + '/record'),
            ('PUT', '/v1/restores/[^/]+'),
        ):
            self.service.requests.clear()
            cinder_records.set_status(self.backup.id, 'restoring')
            self.at(method, pattern, self.withdraw)
            self.assertRaises(exception.BackupRestoreCancel, self.restore)
            self.assertEqual(1, len(self.service.said(method, pattern)))

    def withdraw(self):
        cinder_records.set_status(self.backup.id, 'error')
        raise played_service.Refusal(503, 'away')
