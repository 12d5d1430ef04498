# SPDX-License-Identifier: Apache-2.0
import logging
import uuid

from cinder import exception
import fixtures
from oslo_db import exception as db_exception
import oslo_messaging

from ebackup_driver import exports
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


class TestLeft(ExportsTestCase):
    """What an earlier driver, that was killed, has left exported."""

    def setUp(self):
        super().setUp()
        self.earlier = str(uuid.uuid4())
        self.left = {
            'job_id': self.earlier,
            'connector': {'host': 'node1'},
            'exported': {'type': 'volume', 'id': self.volume.id},
        }
        self.service.connections = [self.left]
        self.cinder.exports.append((self.volume.id, 'node1'))

    def forgotten(self):
        return [
            request.path.split('/')[3]
            for request in self.service.said('DELETE', ATTACHMENT)
        ]

    def test_it_is_ended(self):
        self.make()
        self.assertEqual([], self.cinder.exports)
        self.assertIn(self.earlier, self.forgotten())

    def test_also_when_proxies_need_nothing_now(self):
        self.service.exported_to = None
        self.service.reaches_volumes = True
        self.make()
        self.assertEqual([], self.cinder.exports)
        self.assertEqual([self.earlier], self.forgotten())

    def test_not_what_another_job_has_begun_to_use(self):
        self.at('POST', base.BEAT, self.service.connections.clear, nth=2)
        self.make()
        self.assertEqual([(self.volume.id, 'node1')], self.cinder.exports)
        self.assertNotIn(self.earlier, self.forgotten())

    def test_nor_what_one_has_begun_to_use_while_another_was_ended(self):
        another = {**self.left, 'connector': {'host': 'node2'}}
        self.service.connections.append(another)
        self.cinder.exports.append((self.volume.id, 'node2'))

        def terminate(context, volume, connector, force):
            self.service.connections.clear()
            self.cinder.exports.remove((volume.id, connector['host']))

        self.service.exported_to = None
        self.service.reaches_volumes = True
        self.cinder.terminate_connection = terminate
        self.make()
        self.assertEqual([(self.volume.id, 'node2')], self.cinder.exports)
        self.assertEqual([], self.forgotten())

    def test_service_does_not_tell(self):
        def refuse():
            raise played_service.Refusal(500, 'any', 'Broken.')

        self.at('GET', base.JOB, refuse)
        self.make()
        self.assertIn('Broken.', self.log.output)
        self.assertEqual([(self.volume.id, 'node1')], self.cinder.exports)
        self.assertNotIn(self.earlier, self.forgotten())

    def test_what_it_was_is_gone(self):
        gone = {'type': 'snapshot', 'id': str(uuid.uuid4())}
        self.service.connections = [{**self.left, 'exported': gone}]
        self.make()
        self.assertIn(self.earlier, self.forgotten())

    def fail_to_end(self, failure):
        """Nothing is made now; what was left is not ended."""
        self.service.exported_to = None
        self.service.reaches_volumes = True
        self.cinder.fail['terminate_connection'] = failure
        self.make()

    def test_cinder_volume_does_not_answer(self):
        self.fail_to_end(oslo_messaging.MessagingTimeout())
        self.assertEqual([], self.forgotten())

    def test_storage_is_away(self):
        self.fail_to_end(exception.VolumeBackendAPIException(data=SECRET))
        self.assertEqual([], self.forgotten())
        self.assertIn(self.volume.id, self.log.output)
        self.assertNotIn(SECRET, self.log.output)

    def test_database_of_cinder_is_away(self):
        snapshot = cinder_records.snapshot(self.volume)
        self.left['exported'] = {'type': 'snapshot', 'id': snapshot.id}

        def away(context, snapshot_id):
            raise db_exception.DBConnectionError

        target = f'{exports.__name__}.cinder_snapshot.Snapshot.get_by_id'
        self.useFixture(fixtures.MonkeyPatch(target, away))
        self.service.exported_to = None
        self.service.reaches_volumes = True
        self.make()
        self.assertEqual([], self.forgotten())

    def test_the_next_job_tries_again(self):
        self.fail_to_end(exception.VolumeBackendAPIException(data='away'))
        self.cinder.fail.clear()
        self.backup = cinder_records.backup(self.volume)
        self.make()
        self.assertEqual([self.earlier], self.forgotten())
        self.assertEqual([], self.cinder.exports)

    def test_volume_vanishes_meanwhile(self):
        self.fail_to_end(exception.VolumeNotFound(volume_id=self.volume.id))
        self.assertEqual([self.earlier], self.forgotten())

    def test_what_is_not_found_is_something_else(self):
        """Such as its cinder-volume, which may be back later."""
        self.fail_to_end(exception.ServiceNotFound(service_id='x'))
        self.assertEqual([], self.forgotten())
