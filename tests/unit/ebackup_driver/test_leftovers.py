# SPDX-License-Identifier: Apache-2.0
import datetime
import logging
import uuid

from cinder.db import api as cinder_db
from cinder import exception
from cinder import objects
import fixtures
from oslo_db import exception as db_exception
import oslo_messaging
from oslo_utils import timeutils

from ebackup_driver import exports
from ebackup_driver import leftovers
from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import cinder_volume
from tests.unit.ebackup_driver import played_service

SECRET = cinder_volume.SECRET
ATTACHMENT = base.JOB + '/attachment'
DETACH = base.JOB + '/detach'

# How Cinder says that a virtual machine has a volume, or that it is moved.
ATTACHED = (
    {'attach_status': 'attached'},
    {'attach_status': 'attaching'},
    {'migration_status': 'migrating'},
    {'status': 'reserved'},
)
FREE = {
    'status': 'backing-up',
    'attach_status': 'detached',
    'migration_status': None,
}


class Clock(fixtures.Fixture):
    """By which what is left has its time; now: it stands still."""

    now = 0.0

    def _setUp(self):
        self.useFixture(fixtures.MockPatchObject(leftovers, 'time', self))

    def monotonic(self):
        return self.now


def left(exported, kind='volume', host='node1'):
    return {
        'job_id': str(uuid.uuid4()),
        'connector': {'host': host},
        'exported': {'type': kind, 'id': exported.id},
    }


class LeftoversTestCase(base.DriverTestCase):
    def setUp(self):
        super().setUp()
        self.cinder = self.useFixture(cinder_volume.CinderVolume())
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        self.service.exported_to = 'node7'
        self.volume = cinder_records.volume(size=1)
        self.backup = cinder_records.backup(self.volume)

    def make(self):
        return self.driver().backup(self.backup, self.volume_file)

    def forgotten(self):
        return [
            request.path.split('/')[3]
            for request in self.service.said('DELETE', ATTACHMENT)
        ]


class TestOfVolume(LeftoversTestCase):
    """What an earlier driver, that was killed, has left exported."""

    def setUp(self):
        super().setUp()
        self.left = left(self.volume)
        self.earlier = self.left['job_id']
        self.service.connections = [self.left]
        self.cinder.exports.append((self.volume.id, 'node1'))

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

    def test_service_is_asked_for_it_after_the_job(self):
        """From then on it lets nobody begin to use it."""
        self.make()
        kinds = [
            (request.method, request.path.rpartition('/')[2])
            for request in self.service.requests
        ]
        self.assertLess(
            max(i for i, kind in enumerate(kinds) if kind[1] == 'heartbeat'),
            kinds.index(('POST', 'detach')),
        )

    def test_two_exports_for_one_job_are_forgotten_together(self):
        self.service.connections.append(
            {**self.left, 'connector': {'host': 'node2'}}
        )
        self.cinder.exports.append((self.volume.id, 'node2'))
        self.make()
        self.assertEqual([], self.cinder.exports)
        self.assertEqual(1, self.forgotten().count(self.earlier))
        self.assertEqual(1, len(self.service.said('POST', DETACH)))

    def test_not_longer_than_nobody_may_use_it(self):
        """Cinder may take as long as it likes for each of several."""
        self.service.connections.append(
            {**self.left, 'connector': {'host': 'node2'}}
        )
        self.useFixture(fixtures.MockPatchObject(leftovers, '_SECONDS', -1.0))
        self.make()
        self.assertEqual([(self.volume.id, 'node1')], self.cinder.exports)
        self.assertNotIn(self.earlier, self.forgotten())

    def test_cinder_volume_has_no_longer_either(self):
        self.make()
        (seconds,) = self.cinder.timeouts
        self.assertLessEqual(seconds, 60)
        self.assertGreater(seconds, 0)

    def test_several_jobs_have_no_longer_together(self):
        self.service.connections.append(left(self.volume, host='node2'))
        ended = []

        def end(context, exported, connector, seconds):
            ended.append(seconds)
            # As if all of it had passed.
            clock.now += seconds

        clock = self.useFixture(Clock())
        self.useFixture(fixtures.MockPatchObject(exports, 'terminate', end))
        self.make()
        self.assertEqual([60], ended)
        self.assertEqual(1, len(self.service.said('POST', DETACH)))

    def test_not_what_a_virtual_machine_has_now(self):
        """On the host of the proxy, it is the same export."""
        for values in ATTACHED:
            self.volume.update(values)
            self.volume.save()
            self.make()
            self.assertEqual(
                [(self.volume.id, 'node1')], self.cinder.exports, values
            )
            self.assertNotIn(self.earlier, self.forgotten())
            self.backup = cinder_records.backup(self.volume)
            self.volume.update(FREE)
            self.volume.save()

    def test_service_does_not_tell(self):
        def refuse():
            raise played_service.Refusal(500, 'any', 'Broken.')

        self.at('POST', DETACH, refuse)
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


class TestElsewhere(LeftoversTestCase):
    """What is left of jobs of other volumes."""

    def setUp(self):
        super().setUp()
        self.service.exported_to = None
        self.service.reaches_volumes = True
        self.up('lab@file')
        self.other = cinder_records.volume(status='available')

    def up(self, host, age=0):
        """Let there be a cinder-volume that was last seen so long ago."""
        values = {
            'host': host,
            'binary': 'cinder-volume',
            'topic': 'cinder-volume',
        }
        context = cinder_records.admin_context()
        service = objects.Service(context=context, **values)
        service.create()
        seen = timeutils.utcnow() - datetime.timedelta(seconds=age)
        cinder_db.service_update(
            context, service.id, {'updated_at': seen, 'created_at': seen}
        )
        self.addCleanup(service.destroy)

    def leave(self, exported, kind='volume', host='node1'):
        """Return the id of the job for which it was exported."""
        found = left(exported, kind, host)
        self.service.left_elsewhere.append(found)
        self.cinder.exports.append((exported.id, host))
        return found['job_id']

    def is_ended(self, job_id):
        self.make()
        asked = [
            request.path.split('/')[3]
            for request in self.service.said('POST', DETACH)
        ]
        self.assertEqual(asked, self.forgotten())
        self.assertEqual([], [one for one in asked if one != job_id])
        if asked:
            self.assertEqual([], self.cinder.exports)
        else:
            self.assertEqual([], self.cinder.calls)
        return bool(asked)

    def test_it_is_ended_after_any_job(self):
        self.assertTrue(self.is_ended(self.leave(self.other)))

    def test_also_after_a_restore(self):
        self.make()
        self.service.requests.clear()
        job_id = self.leave(self.other)
        cinder_records.set_status(self.backup.id, 'restoring')
        self.driver().restore(
            cinder_records.stored(self.backup.id),
            cinder_records.volume(status='restoring-backup').id,
            self.open_file('wb'),
            True,
        )
        self.assertEqual([job_id], self.forgotten())

    def test_snapshot(self):
        snapshot = cinder_records.snapshot(self.other, status='available')
        self.assertTrue(self.is_ended(self.leave(snapshot, 'snapshot')))
        self.assertEqual(
            [('terminate_connection_snapshot', snapshot.id, 'node1')],
            self.cinder.calls,
        )

    def test_volume_that_was_deleted_is_forgotten(self):
        job_id = self.leave(self.other)
        self.cinder.exports.clear()
        cinder_db.volume_destroy(cinder_records.admin_context(), self.other.id)
        self.assertTrue(self.is_ended(job_id))
        self.assertEqual([], self.cinder.calls)

    def test_volume_that_this_cinder_never_had_is_left(self):
        self.other.id = str(uuid.uuid4())
        self.assertFalse(self.is_ended(self.leave(self.other)))

    def test_volume_that_is_used_is_left(self):
        for status in 'in-use', 'backing-up', 'restoring-backup', 'attaching':
            other = cinder_records.volume(status=status)
            self.assertFalse(self.is_ended(self.leave(other)), status)
            self.backup = cinder_records.backup(self.volume)

    def test_volume_that_is_used_whatever_its_state_says(self):
        for values in ATTACHED:
            other = cinder_records.volume(**{'status': 'available', **values})
            self.assertFalse(self.is_ended(self.leave(other)), values)
            self.backup = cinder_records.backup(self.volume)

    def test_volume_that_was_migrated(self):
        other = cinder_records.volume(
            status='available', migration_status='success'
        )
        self.assertTrue(self.is_ended(self.leave(other)))

    def test_volume_that_is_attached_just_then(self):
        self.leave(self.other)

        def attach():
            self.other.update({'status': 'in-use', **ATTACHED[0]})
            self.other.save()

        self.at('POST', DETACH, attach)
        self.make()
        self.assertEqual([], self.cinder.calls)
        self.assertEqual([], self.forgotten())

    def test_service_that_takes_its_time_leaves_none_for_it(self):
        self.leave(self.other)
        clock = self.useFixture(Clock())

        def wait():
            clock.now += 10

        self.at('GET', '/v1/jobs', wait)
        self.make()
        self.assertEqual([], self.service.said('POST', DETACH))

    def test_volume_after_a_restore_that_failed(self):
        other = cinder_records.volume(status='error_restoring')
        self.assertTrue(self.is_ended(self.leave(other)))

    def test_back_end_that_is_away_is_not_waited_for(self):
        self.up('lab@gone', age=3600)
        for host in 'lab@gone#pool', 'lab@unknown#pool':
            other = cinder_records.volume(status='available', host=host)
            self.assertFalse(self.is_ended(self.leave(other)), host)
            self.backup = cinder_records.backup(self.volume)

    def test_what_another_job_uses_is_left(self):
        self.leave(self.other)

        def refuse():
            raise played_service.Refusal(409, 'export-in-use', 'In use.')

        self.at('POST', DETACH, refuse)
        self.make()
        self.assertEqual([], self.cinder.calls)
        self.assertEqual([], self.forgotten())

    def test_one_at_a_time_and_not_for_long(self):
        for _ in range(4):
            self.leave(self.other)
        self.make()
        self.assertEqual(1, len(self.forgotten()))
        (seconds,) = self.cinder.timeouts
        self.assertLessEqual(seconds, 10)

    def test_those_that_can_not_be_ended_keep_no_other_from_it(self):
        for _ in range(3):
            used = cinder_records.volume(status='in-use')
            self.service.left_elsewhere.append(left(used))
        self.assertTrue(self.is_ended(self.leave(self.other)))

    def test_few_are_looked_at(self):
        for _ in range(9):
            self.leave(cinder_records.volume(status='in-use'))
        looked = []
        find = exports.find

        def count(*arguments):
            looked.append(arguments)
            return find(*arguments)

        self.useFixture(fixtures.MockPatchObject(exports, 'find', count))
        self.make()
        self.assertEqual(5, len(looked))

    def assert_hides_nothing(self):
        self.assertIsNotNone(self.make())
        self.assertEqual([], self.forgotten())

    def test_service_does_not_list_them(self):
        """Such as an older one."""
        self.leave(self.other)

        def refuse():
            raise played_service.Refusal(400, 'bad-request', 'What?')

        self.at('GET', '/v1/jobs', refuse)
        self.assert_hides_nothing()

    def test_cinder_does_not_tell_of_them(self):
        self.leave(self.other)

        def away(*arguments):
            raise db_exception.DBConnectionError

        self.useFixture(fixtures.MockPatchObject(exports, 'find', away))
        self.assert_hides_nothing()

    def test_cinder_volume_does_not_answer(self):
        self.leave(self.other)
        self.cinder.fail['terminate_connection'] = (
            oslo_messaging.MessagingTimeout()
        )
        self.assert_hides_nothing()
        self.assertIn(self.other.id, self.log.output)

    def test_nothing_is_asked_after_a_job_that_failed(self):
        self.leave(self.other)
        self.service.failure = ('any', 'It failed.')
        self.assertRaises(exception.BackupDriverException, self.make)
        self.assertEqual([], self.service.said('GET', '/v1/jobs'))
