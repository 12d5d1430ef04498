# SPDX-License-Identifier: Apache-2.0
"""Catalogs rebuilt from a repository that is damaged, or away."""

import json
from unittest import mock

from ebackup_service.proxy import maintenance
from ebackup_service.proxy import rebuild
from ebackup_service.repository import document
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from ebackup_service.repository import root as image_root
from ebackup_service.server import images
from ebackup_service.server import repositories
from tests.unit.ebackup_service.proxy import test_rebuild


class TestDamage(test_rebuild.RebuildTestCase):
    def setUp(self):
        super().setUp()
        self.good = self.backup(volume_id=test_rebuild.new_id())
        self.bad = self.backup()

    def left_out(self):
        """The damaged image is told, and the other one is there."""
        result = self.recover()
        self.assertEqual((1, 1), (result['images'], result['damaged']))
        [problem] = result['problems']
        self.assertIn(self.bad.id, problem)
        self.assertEqual({self.good.id}, self.known())
        return problem

    def test_damaged_root(self):
        self.patch(layout.root_key(self.bad.id), 200, b'\xff\xff')
        self.left_out()

    def test_damaged_image_can_be_given_up(self):
        self.patch(layout.root_key(self.bad.id), 200, b'\xff\xff')
        self.recover()
        gc = self.task(repositories.collect(self.new.catalog, 'default'))
        self.assertRaises(repository_errors.Corrupt, maintenance.collect, gc)
        self.new.finish(gc.spec, 'failed')
        images.delete(self.new.catalog, self.bad.id)
        gc = self.task(repositories.collect(self.new.catalog, 'default'))
        self.assertGreater(
            maintenance.collect(gc)['bytes_removed'], test_rebuild.CHUNK
        )
        with open(self.path, 'rb') as file:
            self.assertEqual(file.read(), self.restored(self.good.id))
        self.new.finish(gc.spec)
        self.assertEqual(0, self.rebuild()['damaged'])

    def test_damaged_root_has_used_its_generation(self):
        self.backup()
        self.patch(layout.root_key(self.backup().id), 200, b'\xff\xff')
        self.recover()
        reserved, _ = self.new.reserve(volume_id=self.volume_id)
        self.assertEqual(4, reserved.generation)

    def test_damaged_marker(self):
        self.patch(layout.commit_key(self.bad.id), 100, b'\xff\xff')
        self.left_out()
        reserved, _ = self.new.reserve(volume_id=self.volume_id)
        self.assertEqual(2, reserved.generation)

    def test_missing_root(self):
        self.storage.delete(layout.root_key(self.bad.id))
        self.assertIn('missing', self.left_out())

    def test_root_of_a_newer_format(self):
        key = layout.root_key(self.bad.id)
        self.make_newer('root', key)
        self.assertIn('newer', self.left_out())

    def test_file_that_can_not_be_read(self):
        read = type(self.storage).read

        def fail(storage, key, fresh=False):
            if key == layout.root_key(self.bad.id):
                raise repository_errors.StorageUnavailable('I/O error')
            return read(storage, key)

        with mock.patch.object(type(self.storage), 'read', fail):
            self.assertIn('I/O error', self.left_out())

    def test_damaged_tombstone_counts(self):
        self.storage.create(layout.tombstone_key(self.bad.id), [b'damaged'])
        result = self.recover()
        self.assertEqual((1, 1), (result['images'], result['tombstones']))
        self.assertEqual({self.good.id}, self.known())

    def exchange(self, **values):
        """Give the image a root that is valid, and says something else."""
        content = self.repo.root(self.bad.id).to_json()
        content.update(values)
        data = document.seal(image_root.KIND, content)
        self.storage.replace(layout.root_key(self.bad.id), data)
        marker = markers.Commit(self.bad.id, document.digest(data), 1)
        key = layout.commit_key(self.bad.id)
        self.storage.replace(key, marker.to_bytes())

    def test_root_that_no_catalog_can_store(self):
        for values in (
            {'chain': {'project_id': 'p' * 300, 'volume_id': 'v'}},
            {'chain': {'project_id': 'p', 'volume_id': 'v\0'}},
            {'generation': 2**32 - 1},
        ):
            self.exchange(**values)
            self.left_out()

    def test_record_that_is_nested_beyond_measure(self):
        # As far as JSON goes before the format refuses it.
        deep = json.loads('{"a":' * 400 + '1' + '}' * 400)
        self.exchange(record=deep)
        self.left_out()

    def test_storage_that_is_away_is_no_damage(self):
        self.take_over()
        task = self.begin()
        with mock.patch.object(
            type(self.storage),
            'read',
            side_effect=repository_errors.StorageUnavailable('away'),
        ):
            self.assertRaises(
                repository_errors.StorageUnavailable, rebuild.run, task
            )

    def test_storage_that_goes_away_is_no_damage(self):
        self.take_over()
        task = self.begin()
        read = type(self.storage).read

        def fail(storage, key, fresh=False):
            if key.startswith('images/') or failed:
                failed.append(key)
                raise repository_errors.StorageUnavailable('away')
            return read(storage, key)

        failed = []
        with mock.patch.object(type(self.storage), 'read', fail):
            self.assertRaises(
                repository_errors.StorageUnavailable, rebuild.run, task
            )
