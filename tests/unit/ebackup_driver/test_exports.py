# SPDX-License-Identifier: Apache-2.0
import logging

from cinder import exception
import fixtures

from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import cinder_volume
from tests.unit.ebackup_driver import played_service

SECRET = cinder_volume.SECRET
ATTACHMENT = base.JOB + '/attachment'


class ExportsTestCase(base.DriverTestCase):
    def setUp(self):
        super().setUp()
        self.cinder = self.useFixture(cinder_volume.CinderVolume())
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        self.service.exported_to = 'node7'
        self.service.beats_needed = 2
        self.volume = cinder_records.volume(size=1)
        self.backup = cinder_records.backup(self.volume)

    def make(self):
        return self.driver().backup(self.backup, self.volume_file)

    def assert_ended(self):
        """Nothing is exported, and the service knows."""
        self.assertEqual([], self.cinder.exports)
        deleted = self.service.said('DELETE', ATTACHMENT)
        self.assertEqual(1, len(deleted))

    def connections(self):
        return [
            request.body['attachment']
            for request in self.service.said('PUT', ATTACHMENT)
        ]


class TestExported(ExportsTestCase):
    """What it is that is exported."""

    def exported(self):
        self.make()
        self.assert_ended()
        method, found, _ = self.cinder.calls[0]
        asked = self.service.image_requests[self.backup.id]['volume']
        self.assertEqual(found, asked['exported']['id'])
        self.assertEqual(
            asked['exported']['type'] == 'snapshot',
            method == 'initialize_connection_snapshot',
        )
        return found

    def test_volume(self):
        self.assertEqual(self.volume.id, self.exported())

    def test_snapshot(self):
        snapshot = cinder_records.snapshot(self.volume)
        self.backup = cinder_records.backup(
            self.volume, snapshot_id=snapshot.id
        )
        self.assertEqual(snapshot.id, self.exported())

    def test_snapshot_for_this_backup_alone(self):
        snapshot = cinder_records.snapshot(self.volume)
        self.backup = cinder_records.backup(
            self.volume, temp_snapshot_id=snapshot.id
        )
        self.assertEqual(snapshot.id, self.exported())

    def test_clone_of_a_snapshot(self):
        snapshot = cinder_records.snapshot(self.volume)
        clone = cinder_records.volume()
        self.backup = cinder_records.backup(
            self.volume, snapshot_id=snapshot.id, temp_volume_id=clone.id
        )
        self.assertEqual(clone.id, self.exported())

    def test_target_of_a_restore(self):
        self.make()
        self.cinder.calls.clear()
        self.service.requests.clear()
        cinder_records.set_status(self.backup.id, 'restoring')
        backup = cinder_records.stored(self.backup.id)
        target = cinder_records.volume(status='restoring-backup')
        self.driver().restore(backup, target.id, self.open_file('wb'), True)
        self.assert_ended()
        self.assertEqual(
            [
                ('initialize_connection', target.id, 'node7'),
                ('terminate_connection', target.id, 'node7'),
            ],
            self.cinder.calls,
        )


class TestExports(ExportsTestCase):
    def test_proxy_is_told_how_it_reaches_the_volume(self):
        self.make()
        (attachment,) = self.connections()
        self.assertEqual(
            {
                'kind': 'connector',
                'host': 'node7',
                'connection': {
                    'driver_volume_type': 'local',
                    'data': {'auth_password': SECRET, 'number': 1},
                },
            },
            attachment,
        )

    def test_needs_no_path(self):
        self.driver().backup(self.backup, object())
        self.assert_ended()

    def test_secret_is_in_no_log(self):
        self.make()
        self.assertNotIn(SECRET, self.log.output)

    def test_ends_when_the_job_has_ended(self):
        self.make()
        kinds = [
            (request.method, request.path.rpartition('/')[2])
            for request in self.service.requests
        ]
        self.assertLess(
            max(i for i, kind in enumerate(kinds) if kind[1] == 'heartbeat'),
            kinds.index(('DELETE', 'attachment')),
        )

    def test_job_fails(self):
        self.service.failure = ('any', 'It failed.')
        error = self.assertRaises(exception.BackupDriverException, self.make)
        self.assertIn('It failed.', str(error))
        self.assert_ended()

    def test_backup_is_deleted_meanwhile(self):
        self.service.beats_needed = None
        self.at(
            'POST',
            base.BEAT,
            lambda: cinder_records.set_status(self.backup.id, 'deleting'),
            nth=2,
        )
        self.assertIsNone(self.make())
        self.assertEqual(['cancelled'], self.job_states())
        self.assert_ended()

    def test_service_is_lost(self):
        self.configure(service_timeout=1.0)

        def lost(request):
            raise played_service.Refusal(503, 'away', 'Away.')

        self.at(
            'POST', base.BEAT, lambda: self.service.hooks.append(lost), nth=2
        )
        self.service.beats_needed = None
        error = self.assertRaises(exception.BackupDriverException, self.make)
        self.assertIn('Away.', str(error))
        self.assertEqual([], self.cinder.exports)

    def test_job_that_moves_is_exported_to_its_new_proxy(self):
        self.service.beats_needed = 4

        def move():
            for job in self.service.jobs.values():
                self.service.export(job, 'node8')

        self.at('POST', base.BEAT, move, nth=2)
        self.make()
        self.assertEqual(
            ['node7', 'node8'], [c['host'] for c in self.connections()]
        )
        self.assertEqual(
            [
                ('initialize_connection', self.volume.id, 'node7'),
                ('terminate_connection', self.volume.id, 'node7'),
                ('initialize_connection', self.volume.id, 'node8'),
                ('terminate_connection', self.volume.id, 'node8'),
            ],
            self.cinder.calls,
        )
        self.assert_ended()

    def test_proxy_is_given_the_same_until_it_has_it(self):
        for status, kind in (
            (503, 'proxy-unavailable'),
            (409, 'connection-refused'),
        ):
            self.at('PUT', ATTACHMENT, self.refuse(status, kind), nth=1)
            # The second hook sees the request that the first refused no more.
        self.make()
        self.assertEqual(
            [1, 1, 1],
            [c['connection']['data']['number'] for c in self.connections()],
        )
        self.assert_ended()

    @staticmethod
    def refuse(status, kind):
        def action():
            raise played_service.Refusal(status, kind)

        return action

    def test_cinder_volume_exports_nothing(self):
        failure = exception.VolumeBackendAPIException(data=SECRET)
        self.cinder.fail['initialize_connection'] = failure
        error = self.assertRaises(exception.BackupDriverException, self.make)
        self.assertIn(self.volume.id, str(error))
        self.assertIn('VolumeBackendAPIException', str(error))
        self.assertNotIn(SECRET, str(error) + self.log.output)
        self.assertEqual(['cancelled'], self.job_states())
        # It may have been exported all the same.
        self.assert_ended()

    def test_what_can_not_be_ended_hides_nothing_and_is_not_forgotten(self):
        failure = exception.VolumeBackendAPIException(data=SECRET)
        self.cinder.fail['terminate_connection'] = failure
        self.make()
        self.assertIn(self.volume.id, self.log.output)
        self.assertNotIn(SECRET, self.log.output)
        self.assertEqual([], self.service.said('DELETE', ATTACHMENT))

    def test_a_service_that_does_not_take_it_hides_nothing(self):
        def refuse():
            raise played_service.Refusal(500, 'any', 'Broken.')

        self.at('DELETE', ATTACHMENT, refuse)
        self.make()
        self.assertIn('Broken.', self.log.output)
