# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import inventory
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from tests.unit.ebackup_service.repository import base


class LookTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.store(os.urandom(5000), generation=3)
        self.spent = inventory.Spent(base.CHAIN, 3, base.CHUNK)

    def mark(self):
        self.image.session.mark_committed(self.image.id)

    def look(self, image_id=None):
        return inventory.look(self.storage, image_id or self.image.id)

    def bury(self):
        key = layout.tombstone_key(self.image.id)
        self.storage.create(key, [b''])

    def test_image_that_counts(self):
        self.mark()

        self.assertEqual(self.image.root, self.look())

    def test_root_without_marker_has_used_its_generation(self):
        self.assertEqual(self.spent, self.look())

    def test_deleted_image_of_which_the_root_is_left(self):
        self.mark()
        self.bury()

        self.assertEqual(self.spent, self.look())

    def test_nothing(self):
        self.assertIsNone(self.look(base.new_id()))

    def test_deleted_image(self):
        self.mark()
        self.repo.delete_image(self.image.id)

        self.assertIsNone(self.look())

    def test_image_that_is_deleted_meanwhile(self):
        self.mark()
        size = self.storage.size

        def late(key):
            if key == layout.root_key(self.image.id):
                with mock.patch.object(self.storage, 'size', size):
                    self.repo.delete_image(self.image.id)
            return size(key)

        with mock.patch.object(self.storage, 'size', late):
            self.assertIsNone(self.look())

    def test_every_bit_of_the_root_matters(self):
        self.mark()
        key = layout.root_key(self.image.id)
        for offset in range(0, self.storage.size(key), 7):
            self.flip(key, offset, offset % 8)
            found = self.look()
            self.assertIsInstance(found, inventory.Damaged)
            self.assertEqual(
                (self.image.id, None, 3),
                (found.image_id, found.spent, found.generation),
            )
            self.flip(key, offset, offset % 8)

    def test_every_bit_of_the_marker_matters(self):
        self.mark()
        key = layout.commit_key(self.image.id)
        for offset in range(0, self.storage.size(key), 7):
            self.flip(key, offset, offset % 8)
            found = self.look()
            self.assertIsInstance(found, inventory.Damaged)
            self.assertEqual(self.spent, found.spent)
            self.flip(key, offset, offset % 8)

    def test_truncated_root_and_marker(self):
        self.mark()
        for key in (
            layout.root_key(self.image.id),
            layout.commit_key(self.image.id),
        ):
            path = os.path.join(self.path, key)
            with open(path, 'rb') as file:
                whole = file.read()
            for length in (0, 1, len(whole) // 2, len(whole) - 1):
                os.truncate(path, length)
                self.assertIsInstance(self.look(), inventory.Damaged)
            with open(path, 'wb') as file:
                file.write(whole)

    def test_marker_without_root(self):
        self.mark()
        self.storage.delete(layout.root_key(self.image.id))

        found = self.look()

        self.assertEqual('its root is missing', found.reason)
        self.assertEqual((None, 3), (found.spent, found.generation))

    def test_damaged_root_without_marker_is_nothing(self):
        self.flip(layout.root_key(self.image.id), 200)

        self.assertIsNone(self.look())

    def test_root_of_another_image(self):
        """Its generation is that of the other one."""
        self.mark()
        other = self.backup(b'x', generation=9)
        os.replace(
            os.path.join(self.path, layout.root_key(other.id)),
            os.path.join(self.path, layout.root_key(self.image.id)),
        )

        found = self.look()

        self.assertEqual((None, 3), (found.spent, found.generation))

    def test_root_of_a_newer_format(self):
        self.mark()
        path = os.path.join(self.path, layout.root_key(self.image.id))
        with mock.patch.object(document, 'VERSION', 2):
            newer = document.seal('root', {'looks': 'otherwise'})
        with open(path, 'wb') as file:
            file.write(newer)

        found = self.look()

        self.assertIsInstance(found, inventory.Damaged)
        self.assertIn('newer', found.reason)

    def test_storage_in_trouble_is_no_damage(self):
        self.mark()
        with mock.patch.object(
            self.storage,
            'read',
            side_effect=errors.StorageUnavailable('away'),
        ):
            self.assertRaises(errors.StorageUnavailable, self.look)


class DeletedTestCase(base.RepositoryTestCase):
    def deleted(self):
        return [*inventory.deleted(self.storage)]

    def test_tombstone_tells_which_generation_is_gone(self):
        image = self.backup(b'x', generation=3)
        self.repo.delete_image(image.id)

        self.assertEqual(
            [inventory.Deleted(image.id, inventory.Spent(base.CHAIN, 3))],
            self.deleted(),
        )

    def test_tombstone_of_an_unknown_image(self):
        image_id = base.new_id()
        self.repo.delete_image(image_id)

        self.assertEqual([inventory.Deleted(image_id, None)], self.deleted())

    def test_damaged_tombstone_counts(self):
        image_id = base.new_id()
        for data in (
            b'',
            b'damaged',
            markers.Tombstone(base.new_id()).to_bytes(),
            document.seal('tombstone', {'image_id': image_id}),
        ):
            key = layout.tombstone_key(image_id)
            self.storage.create(key, [data])
            self.assertEqual(
                [inventory.Deleted(image_id, None)], self.deleted()
            )
            self.storage.delete(key)

    def test_foreign_names_are_passed_over(self):
        self.storage.create('tombstones/readme', [b'x'])

        self.assertEqual([], self.deleted())
