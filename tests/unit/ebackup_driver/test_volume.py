# SPDX-License-Identifier: Apache-2.0
import io
import json
import tempfile

from cinder import objects
from oslo_utils import units

from ebackup_driver import volume
from tests import base
from tests.unit.ebackup_driver import cinder_records


class VolumeTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        cinder_records.prepare()
        self.context = cinder_records.user_context()
        self.volume = cinder_records.volume(size=3)

    def request(self, backup=None, repository=None):
        backup = backup or cinder_records.backup(self.volume)
        return volume.image_request(self.context, backup, repository, '{}')


class TestImageRequest(VolumeTestCase):
    def test_describes_the_volume(self):
        self.assertEqual(
            {
                'id': self.volume.id,
                'size': 3 * units.Gi,
                'name': 'data',
                'availability_zone': 'nova',
                'host': 'lab@file#file',
                'backend_name': f'volume-{self.volume.id}',
                'provider_location': '127.0.0.1:/exports',
                'exported': {'type': 'volume', 'id': self.volume.id},
                'type': '__DEFAULT__',
                'in_use': False,
            },
            self.request()['volume'],
        )

    def test_says_whose_it_is(self):
        request = self.request()
        self.assertEqual(cinder_records.PROJECT, request['project_id'])
        self.assertEqual(cinder_records.USER, request['user_id'])
        self.assertEqual('nightly', request['name'])

    def test_leaves_out_what_the_volume_has_not(self):
        self.volume = cinder_records.volume(
            display_name=None, provider_location=None
        )
        backup = cinder_records.backup(self.volume, display_name=None)
        request = self.request(backup)
        self.assertNotIn('name', request['volume'])
        self.assertNotIn('provider_location', request['volume'])
        self.assertNotIn('name', request)

    def test_a_backup_belongs_to_its_project_and_not_to_the_volumes(self):
        # An administrator backs up somebody's volume.
        backup = cinder_records.backup(
            self.volume, project_id=cinder_records.OTHER_PROJECT
        )
        self.assertEqual(
            cinder_records.OTHER_PROJECT, self.request(backup)['project_id']
        )

    def test_a_volume_of_another_project_is_found(self):
        self.context = cinder_records.user_context(
            cinder_records.OTHER_PROJECT
        )
        self.assertEqual(self.volume.id, self.request()['volume']['id'])

    def test_a_snapshots_clone_has_a_size_of_its_own(self):
        # The volume was extended between snapshot and clone, and since.
        snapshot = cinder_records.snapshot(self.volume, volume_size=1)
        clone = cinder_records.volume(size=2)
        backup = cinder_records.backup(
            self.volume, snapshot_id=snapshot.id, temp_volume_id=clone.id
        )
        request = self.request(backup)
        self.assertEqual(snapshot.id, request['snapshot_id'])
        self.assertEqual(2 * units.Gi, request['volume']['size'])

    def test_a_snapshot_has_the_size_that_the_volume_had(self):
        # The volume was extended since.
        snapshot = cinder_records.snapshot(self.volume, volume_size=2)
        backup = cinder_records.backup(self.volume, snapshot_id=snapshot.id)
        request = self.request(backup)
        self.assertEqual(snapshot.id, request['snapshot_id'])
        self.assertEqual(2 * units.Gi, request['volume']['size'])

    def test_a_temporary_snapshot_is_not_the_users(self):
        snapshot = cinder_records.snapshot(self.volume, volume_size=2)
        backup = cinder_records.backup(
            self.volume, temp_snapshot_id=snapshot.id
        )
        request = self.request(backup)
        self.assertIsNone(request['snapshot_id'])
        self.assertEqual(2 * units.Gi, request['volume']['size'])
        self.assertEqual(snapshot.id, request['record']['temp_snapshot_id'])

    def test_a_temporary_clone_stands_for_the_volume(self):
        clone = cinder_records.volume(size=3)
        backup = cinder_records.backup(self.volume, temp_volume_id=clone.id)
        request = self.request(backup)
        self.assertEqual(self.volume.id, request['volume']['id'])
        self.assertEqual(clone.id, request['record']['temp_volume_id'])


class TestRestoreRequest(VolumeTestCase):
    def test_describes_the_target(self):
        target = cinder_records.volume(size=5, availability_zone='west')
        backup = cinder_records.backup(self.volume)
        request = volume.restore_request(self.context, backup, target.id, True)
        self.assertEqual(
            {
                'image_id': backup.id,
                'project_id': cinder_records.PROJECT,
                'volume': {
                    'id': target.id,
                    'size': 5 * units.Gi,
                    'availability_zone': 'west',
                    'host': 'lab@file#file',
                    'backend_name': f'volume-{target.id}',
                    'provider_location': '127.0.0.1:/exports',
                    'exported': {'type': 'volume', 'id': target.id},
                },
                'volume_is_new': True,
            },
            request,
        )


class TestEmptied(base.BaseTestCase):
    def test_only_a_plain_file_is(self):
        with tempfile.TemporaryFile() as plain, open('/dev/null') as device:
            self.assertIs(True, volume.is_emptied(plain))
            self.assertIs(False, volume.is_emptied(device))

    def test_what_is_no_file_is_not(self):
        for volume_file in (object(), io.BytesIO()):
            self.assertIs(False, volume.is_emptied(volume_file))


class TestRecord(VolumeTestCase):
    def test_is_json(self):
        backup = cinder_records.backup(self.volume)
        record = volume.record(backup)
        self.assertEqual(record, json.loads(json.dumps(record)))

    def test_is_all_that_cinder_knows(self):
        backup = cinder_records.backup(self.volume)
        record = volume.record(backup)
        self.assertEqual({'purpose': 'test'}, record['metadata'])
        self.assertEqual(
            set(objects.Backup.fields) - {'parent'},
            set(record) & set(objects.Backup.fields),
        )
