# SPDX-License-Identifier: Apache-2.0

from unittest import mock

from cinder import context as cinder_context
from cinder import objects as cinder_objects
from cinder.objects import backup as cinder_backup

from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import records
from tests import base
from tests.unit.ebackup_service import catalog_fixture

PROJECT = catalog_fixture.PROJECT
OTHER = 'b' * 32
CHUNK = catalog_fixture.CHUNK
GIB = 2**30
new_id = catalog_fixture.new_id
# As the driver sends it: from when the backup was just being made.
RECORD = {
    'availability_zone': 'nova',
    'container': None,
    'created_at': '2026-11-24T10:00:00Z',
    'data_timestamp': '2026-11-24T10:00:00Z',
    'deleted': False,
    'deleted_at': None,
    'display_description': 'ä\n',
    'display_name': 'nightly \U0001f4be',
    'encryption_key_id': None,
    'fail_reason': None,
    'host': 'backup1',
    'metadata': {'purpose': 'test'},
    'num_dependent_backups': 0,
    'object_count': 0,
    'parent_id': new_id(),
    'project_id': PROJECT,
    'restore_volume_id': None,
    'service': 'ebackup_driver.driver.EBackupDriver',
    'service_metadata': None,
    'size': 1,
    'snapshot_id': None,
    'status': 'creating',
    'temp_snapshot_id': new_id(),
    'temp_volume_id': None,
    'updated_at': None,
    'user_id': 'u',
}
# By what Cinder's BackupManager looks for in import_record.
REQUIRED = {
    'display_name',
    'display_description',
    'container',
    'size',
    'service_metadata',
    'object_count',
    'id',
}


class RecordsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()

    def refused(self, kind, code, function, *args, **kwargs):
        error = self.assertRaises(
            errors.ServerError, function, *args, **kwargs
        )
        self.assertEqual((kind, code), (error.kind, error.code))
        return error

    def make_image(self, **values):
        image_id, volume_id = new_id(), new_id()
        record = {**RECORD, 'id': image_id, 'volume_id': volume_id}
        values = {'record': record, 'volume_id': volume_id, **values}
        return self.fixture.make_image(image_id=image_id, **values)


class TestShow(RecordsTestCase):
    def test_only_an_available_image_is_exported(self):
        image, _ = self.fixture.reserve()
        self.refused(
            'image-not-available', 409, records.show, self.catalog, image.id
        )

    def test_other_projects_image_is_unknown(self):
        image = self.make_image()
        self.refused(
            'image-unknown', 404, records.show, self.catalog, image.id, OTHER
        )


class TestConfirm(RecordsTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.make_image()
        self.record = records.show(self.catalog, self.image.id, PROJECT)

    def confirm(self, record, project_id=PROJECT):
        return records.confirm(self.catalog, self.image.id, project_id, record)

    def unknown(self, record, project_id=PROJECT):
        self.refused('record-unknown', 404, self.confirm, record, project_id)

    def test_exported_record_is_imported(self):
        self.assertEqual(self.image.id, self.confirm(self.record).id)

    def test_one_that_a_lost_service_exported_is_imported(self):
        """Its repository is ours now, and the image is the same."""
        self.confirm({**self.record, 'service': new_id()})
        self.confirm({k: v for k, v in self.record.items() if k != 'service'})

    def test_one_that_says_something_else_is_unknown(self):
        for key in set(self.record) - {'service'}:
            self.unknown({**self.record, key: 'other'})
            self.unknown({**self.record, key: None})
            self.unknown({k: v for k, v in self.record.items() if k != key})

    def test_numbers_are_numbers(self):
        self.assertEqual(1, self.record['generation'])
        for value in (True, 1.0, '1'):
            self.unknown({**self.record, 'generation': value})

    def test_it_is_unknown_to_another_project(self):
        self.unknown(self.record, OTHER)

    def test_it_is_unknown_once_the_image_is_deleted(self):
        images.delete(self.catalog, self.image.id)
        self.unknown(self.record)

    def test_it_is_unknown_if_there_is_no_such_image(self):
        self.refused(
            'record-unknown',
            404,
            records.confirm,
            self.catalog,
            new_id(),
            PROJECT,
            self.record,
        )


class TestExport(RecordsTestCase):
    def export(self, *args, **kwargs):
        return [*records.export(self.catalog, 'default', *args, **kwargs)]

    def decoded(self, image):
        [exported] = [e for e in self.export() if e.image.id == image.id]
        return cinder_backup.Backup.decode_record(exported.backup_url)

    def test_cinder_decodes_it(self):
        image = self.make_image()
        decoded = self.decoded(image)
        self.assertEqual(set(), REQUIRED - set(decoded))
        kept = set(RECORD) - {
            'parent_id',
            'temp_snapshot_id',
            'status',
        }
        self.assertEqual(
            {name: RECORD[name] for name in kept},
            {name: decoded[name] for name in kept},
        )
        self.assertEqual(
            (image.id, image.volume_id), (decoded['id'], decoded['volume_id'])
        )

    def test_service_agrees_with_what_cinder_hands_to_the_driver(self):
        image = self.make_image()
        info = self.decoded(image)['driver_info']
        self.assertEqual(records.show(self.catalog, image.id), info)
        records.confirm(self.catalog, image.id, PROJECT, info)

    def test_cinders_object_takes_it(self):
        cinder_objects.register_all()
        options = self.decoded(self.make_image())
        del options['driver_info']
        for name in ('user_id', 'project_id', 'deleted_at', 'deleted'):
            options.pop(name)
        ctxt = cinder_context.get_admin_context()
        backup = cinder_objects.BackupImport(context=ctxt)
        backup.update(options)
        self.assertEqual('nightly \U0001f4be', backup.display_name)

    def test_what_was_for_the_time_of_the_backup_only_is_gone(self):
        decoded = self.decoded(self.make_image())
        for name in ('parent_id', 'temp_snapshot_id', 'temp_volume_id'):
            self.assertIsNone(decoded[name])
        self.assertEqual('available', decoded['status'])

    def test_image_without_a_record_of_cinders_can_be_imported(self):
        image = self.make_image(record={}, name='n', size=GIB + 1)
        [exported] = self.export()
        self.assertEqual(records.DRIVER, exported.backup_service)
        decoded = self.decoded(image)
        self.assertEqual(set(), REQUIRED - set(decoded))
        self.assertEqual(
            (image.id, image.volume_id, 'n', 2),
            (
                decoded['id'],
                decoded['volume_id'],
                decoded['display_name'],
                decoded['size'],
            ),
        )

    def test_size_is_never_less_than_the_images(self):
        """The volume was extended while its backup was being begun."""
        for size, expected in ((GIB, 1), (2 * GIB, 2), (CHUNK, 1)):
            image = self.make_image(size=size)
            self.assertEqual(expected, self.decoded(image)['size'])

    def test_header_of_an_encrypted_volume_is_not_counted(self):
        image = self.make_image(size=GIB + 16 * CHUNK)
        self.assertEqual(1, self.decoded(image)['size'])

    def test_record_may_say_anything(self):
        image = self.make_image(record={'service': 5, 'size': 'x', 'id': 'y'})
        decoded = self.decoded(image)
        self.assertEqual((image.id, 1), (decoded['id'], decoded['size']))

    def test_only_available_images_are_exported(self):
        image = self.make_image()
        self.fixture.reserve()
        images.delete(self.catalog, self.make_image().id)
        self.assertEqual([image.id], [e.image.id for e in self.export()])

    def test_they_are_filtered(self):
        mine, other = self.make_image(), self.make_image(project_id=OTHER)
        for expected, filters in (
            (mine, {'project_id': PROJECT}),
            (other, {'project_id': OTHER}),
            (mine, {'volume_id': mine.volume_id}),
        ):
            [exported] = self.export(**filters)
            self.assertEqual(expected.id, exported.image.id)
        self.assertEqual(
            [], self.export(project_id=OTHER, volume_id=mine.volume_id)
        )

    def test_those_of_another_repository_are_left_out(self):
        self.fixture.make_repository('other')
        self.make_image(repository='other')
        self.assertEqual([], self.export())

    def test_all_of_them_page_by_page(self):
        made = {self.make_image().id for _ in range(5)}
        with mock.patch.object(records, '_PAGE', 2):
            self.assertEqual(made, {e.image.id for e in self.export()})

    def test_unknown_repository(self):
        self.refused(
            'repository-unknown', 404, records.export, self.catalog, 'none'
        )
