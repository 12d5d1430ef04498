# SPDX-License-Identifier: Apache-2.0
import json
import os

from cinder.db import api as db
from cinder import exception
import fixtures
from oslo_db import exception as db_exception
from oslo_utils import units

from ebackup_driver import errors
from ebackup_driver import session
from ebackup_driver import volume
from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import played_service

ADMIN = cinder_records.admin_context


class RestoreTestCase(base.DriverTestCase):
    """Has a backup, of a volume with metadata, that is to be restored."""

    def setUp(self):
        super().setUp()
        self.volume = cinder_records.volume(size=1, bootable=True)
        db.volume_metadata_update(
            ADMIN(), self.volume.id, {'tier': 'gold'}, False
        )
        db.volume_glance_metadata_create(
            ADMIN(), self.volume.id, 'image_name', 'debian-12'
        )
        self.backup = cinder_records.backup(self.volume)
        self.driver().backup(self.backup, self.volume_file)
        cinder_records.set_status(self.backup.id, 'restoring')
        self.backup = cinder_records.stored(self.backup.id)
        self.target = self.make_target()
        self.service.requests.clear()
        self.volume_file = self.open_file('wb')

    def make_target(self, **values):
        values = {'size': 3, 'status': 'restoring-backup', **values}
        values.setdefault('display_name', None)
        return cinder_records.volume(**values)

    def restore(self, is_new=False):
        return self.driver().restore(
            self.backup, self.target.id, self.volume_file, is_new
        )

    def request(self):
        (request,) = self.service.said('PUT', '/v1/restores/[^/]+')
        return request.body['restore']

    def target_metadata(self):
        return db.volume_metadata_get(ADMIN(), self.target.id)


class TestRestore(RestoreTestCase):
    def test_asks_for_the_image_to_be_written_to_the_target(self):
        self.restore()
        self.assertEqual(
            {
                'image_id': self.backup.id,
                'project_id': cinder_records.PROJECT,
                'volume': {
                    'id': self.target.id,
                    'size': 3 * units.Gi,
                    'availability_zone': 'nova',
                    'host': 'lab@file#file',
                    'backend_name': f'volume-{self.target.id}',
                    'provider_location': '127.0.0.1:/exports',
                    'exported': {'type': 'volume', 'id': self.target.id},
                },
                # Cinder has truncated it: it is a plain file here.
                'volume_is_new': True,
            },
            self.request(),
        )

    def test_volume_that_proxies_reach_is_not_attached(self):
        self.service.reaches_volumes = True
        self.restore()
        (job_id,) = [
            job['id']
            for job in self.service.jobs.values()
            if job['kind'] == 'restore'
        ]
        self.assertNotIn(job_id, self.service.attachments)

    def test_says_when_the_volume_is_new(self):
        for is_new in (False, True):
            with open('/dev/null', 'wb') as self.volume_file:
                self.service.reaches_volumes = True
                self.restore(is_new)
            *_, request = self.service.said('PUT', '/v1/restores/[^/]+')
            self.assertIs(is_new, request.body['restore']['volume_is_new'])

    def test_tells_where_the_target_is_attached(self):
        self.restore()
        (job_id,) = [
            job['id']
            for job in self.service.jobs.values()
            if job['kind'] == 'restore'
        ]
        self.assertEqual(self.path, self.service.attachments[job_id]['path'])

    def test_holds_the_target_while_the_job_runs(self):
        held = []
        self.at('POST', base.BEAT, lambda: held.append(self.is_held()), 2)
        self.service.beats_needed = 3
        self.restore()
        self.assertEqual([True], held)
        self.assertFalse(self.is_held())

    def test_leaves_the_file_to_the_service(self):
        content = b'restored by the service'
        with open(self.path, 'wb') as stream:
            stream.write(content)
        self.restore()
        with open(self.path, 'rb') as stream:
            self.assertEqual(content, stream.read(len(content)))
            self.assertEqual(bytes(units.Mi), stream.read(units.Mi))

    def test_every_restore_is_a_job_of_its_own(self):
        self.restore()
        self.service.requests.clear()
        self.restore()
        self.assertEqual(3, len(self.service.jobs))

    def test_a_warning_of_the_service_is_logged(self):
        self.service.warning = 'Volume is in another availability zone.'
        logger = self.useFixture(fixtures.FakeLogger())
        self.restore()
        self.assertIn('in another availability zone', logger.output)

    def test_an_unknown_image_is_an_error(self):
        self.service.images.clear()
        error = self.assertRaises(
            exception.BackupDriverException, self.restore
        )
        self.assertTrue(str(error).startswith('No image'))

    def test_a_failed_job_is_an_error_with_its_message(self):
        self.service.failure = ('path-busy', 'Device is mounted at /mnt.')
        error = self.assertRaises(
            exception.BackupDriverException, self.restore
        )
        self.assertEqual('Device is mounted at /mnt.', str(error))
        self.assertEqual({}, self.target_metadata())

    def test_an_operators_cancel_is_an_error_and_not_cinders(self):
        def cancel():
            for job in self.service.jobs.values():
                if job['kind'] == 'restore':
                    self.service._end(job, 'cancelled', 'cancelled', 'Stop.')

        self.at('POST', base.BEAT, cancel)
        error = self.assertRaises(
            exception.BackupDriverException, self.restore
        )
        self.assertEqual('Stop.', str(error))


class TestEmptied(RestoreTestCase):
    """A plain file, which Cinder has truncated before the driver is called."""

    def told(self):
        path = f'/v1/volumes/{self.target.id}/anchors'
        return self.service.said('DELETE', path)

    def assert_told(self, error=exception.BackupDriverException):
        self.assertRaises(error, self.restore)
        self.assertEqual(self.told(), self.service.requests[:1])

    def test_has_its_size_back_whatever_becomes_of_the_restore(self):
        seen = []

        def refuse(request):
            seen.append(os.stat(self.path).st_size)
            raise played_service.Refusal(409, 'no')

        self.service.hooks.append(refuse)
        self.assertRaises(exception.BackupDriverException, self.restore)
        self.assertEqual(self.target.size * units.Gi, seen[0])

    def test_has_its_size_back_if_the_service_can_not_be_asked(self):
        self.useFixture(
            fixtures.MockPatchObject(
                session, 'connect', side_effect=errors.NotConfigured('x')
            )
        )
        self.assertRaises(exception.BackupDriverException, self.restore)
        self.assertEqual(
            self.target.size * units.Gi, os.stat(self.path).st_size
        )

    def test_never_gets_smaller(self):
        size = self.target.size * units.Gi + 5
        os.truncate(self.path, size)
        self.restore()
        self.assertEqual(size, os.stat(self.path).st_size)

    def test_has_the_backups_size_if_the_database_is_away(self):
        self.useFixture(
            fixtures.MockPatchObject(
                volume.cinder_volume.Volume,
                'get_by_id',
                side_effect=db_exception.DBConnectionError,
            )
        )
        self.assertRaises(db_exception.DBConnectionError, self.restore)
        self.assertEqual(
            self.backup.size * units.Gi, os.stat(self.path).st_size
        )

    def test_that_can_not_get_its_size_back(self):
        logger = self.useFixture(fixtures.FakeLogger())
        self.useFixture(
            fixtures.MockPatchObject(
                volume.os, 'ftruncate', side_effect=OSError('too large')
            )
        )
        self.restore()
        self.assertIn('too large', logger.output)

    def test_is_told_first_of_all(self):
        self.restore()
        self.assertEqual(self.told(), self.service.requests[:1])

    def test_is_told_of_an_unknown_image(self):
        self.service.images.clear()
        self.assert_told()

    def test_is_told_when_the_restore_is_not_wanted_any_more(self):
        cinder_records.set_status(self.backup.id, 'error')
        self.assert_told(exception.BackupRestoreCancel)

    def test_is_not_told_of_a_device(self):
        self.service.reaches_volumes = True
        with open('/dev/null', 'wb') as self.volume_file:
            self.restore()
        self.assertEqual([], self.told())

    def away(self, answers):
        """The service is so until it was asked that often."""

        def hook(request):
            cinder_records.set_status(self.backup.id, 'error')
            if len(self.service.requests) <= answers:
                raise played_service.Refusal(503, 'away')

        self.service.hooks.append(hook)

    def test_is_told_as_soon_as_the_service_is_back(self):
        self.configure(service_timeout=60.0)
        self.away(3)
        self.assertRaises(exception.BackupRestoreCancel, self.restore)
        self.assertEqual(4, len(self.told()))

    def test_is_logged_when_the_service_is_away_for_good(self):
        self.configure(service_timeout=1.0)
        self.server.stop()
        logger = self.useFixture(fixtures.FakeLogger())
        self.assertRaises(exception.BackupDriverException, self.restore)
        self.assertIn(f'Volume {self.target.id} was emptied', logger.output)
        self.assertIn('--no-anchors', logger.output)


class TestMetadata(RestoreTestCase):
    def test_is_put_back_after_the_data(self):
        seen = []
        self.at('POST', base.BEAT, lambda: seen.append(self.target_metadata()))
        self.restore()
        self.assertEqual([{}], seen)
        self.assertEqual({'tier': 'gold'}, self.target_metadata())

    def test_makes_a_boot_volume_bootable_again(self):
        self.restore()
        glance = db.volume_glance_metadata_get(ADMIN(), self.target.id)
        self.assertEqual(
            {'image_name': 'debian-12'}, {m.key: m.value for m in glance}
        )
        self.assertTrue(db.volume_get(ADMIN(), self.target.id).bootable)

    def test_holds_no_credentials(self):
        volume = cinder_records.volume(provider_auth='CHAP user s3cret')
        backup = cinder_records.backup(volume)
        self.driver().backup(backup, self.volume_file)
        request = json.dumps(self.service.image_requests[backup.id])
        self.assertNotIn('s3cret', request)
        self.assertIn('volume-base-metadata', request)

    def test_of_an_unknown_version_is_an_error(self):
        self.service.metadata[self.backup.id] = json.dumps({'version': 99})
        error = self.assertRaises(
            exception.BackupDriverException, self.restore
        )
        self.assertIn('version (99)', str(error))

    def test_may_be_missing(self):
        self.service.metadata[self.backup.id] = None
        self.restore()
        self.assertEqual({}, self.target_metadata())


class TestEncryptedVolume(RestoreTestCase):
    KEY = '5f1d2ac1-4c9d-4a6f-8a0b-0d6f5c0f3a10'

    def setUp(self):
        super().setUp()
        self.type = db.volume_type_create(
            ADMIN(), {'name': f'luks-{self.id()}'[-200:]}
        )
        encrypted = cinder_records.volume(
            encryption_key_id=self.KEY, volume_type_id=self.type['id']
        )
        self.backup = cinder_records.backup(encrypted)
        self.driver().backup(self.backup, self.volume_file)
        cinder_records.set_status(self.backup.id, 'restoring')
        self.service.requests.clear()

    def test_gets_its_key_back(self):
        self.target = self.make_target(volume_type_id=self.type['id'])
        self.restore()
        self.assertEqual(
            self.KEY, db.volume_get(ADMIN(), self.target.id).encryption_key_id
        )

    def test_is_not_restored_to_another_type(self):
        error = self.assertRaises(
            exception.BackupDriverException, self.restore
        )
        self.assertTrue(str(error).startswith('Backup is encrypted, by'))
        self.assertEqual(1, len(self.service.said('DELETE', '/v1/volumes/.*')))
        # Nothing was written.
        self.assertEqual([], self.service.said('PUT', '/v1/restores/[^/]+'))
