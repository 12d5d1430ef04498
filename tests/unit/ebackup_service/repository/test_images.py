# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from tests.unit.ebackup_service.repository import base


class ImagesTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.store(os.urandom(5000))

    def mark(self):
        images.mark(self.storage, self.image.id)

    def test_listing_has_roots_and_markers_each_once(self):
        self.mark()
        other = self.store(b'x')
        lonely = base.new_id()
        self.storage.create(layout.commit_key(lonely), [b'x'])
        self.storage.create(f'images/{base.new_id()}/other', [b'x'])

        self.assertEqual(
            sorted([self.image.id, other.id, lonely]),
            sorted(images.listing(self.storage)),
        )

    def test_root_reads_back(self):
        root = images.read_root(self.storage, self.image.id)

        self.assertEqual(self.image.root, root)
        self.assertEqual(self.image.session.id, root.session_id)

    def test_missing_root_is_told(self):
        error = self.assertRaises(
            errors.ImageMissing, images.read_root, self.storage, base.new_id()
        )
        self.assertIn('no image', str(error))

    def test_candidate_does_not_count(self):
        self.assertFalse(images.is_marked(self.storage, self.image.id))

    def test_marker_makes_it_count(self):
        self.mark()
        self.mark()

        self.assertTrue(images.is_marked(self.storage, self.image.id))

    def test_what_has_no_root_can_not_be_marked(self):
        self.assertRaises(
            errors.ImageMissing, images.mark, self.storage, base.new_id()
        )

    def test_another_root_than_was_committed_can_not_be_marked(self):
        self.assertRaises(
            errors.Corrupt,
            images.mark,
            self.storage,
            self.image.id,
            'ab' * 32,
        )

    def test_deleted_image_can_not_be_marked(self):
        key = layout.tombstone_key(self.image.id)
        self.storage.create(key, [b''])

        self.assertRaises(errors.ImageDeleted, self.mark)

    def test_deletion(self):
        self.mark()
        images.delete(self.storage, self.image.id)
        images.delete(self.storage, self.image.id)

        self.assertTrue(images.is_deleted(self.storage, self.image.id))
        self.assertFalse(images.is_marked(self.storage, self.image.id))
        self.assertEqual([], list(images.listing(self.storage)))
        self.assertRaises(
            errors.ImageMissing,
            images.read_root,
            self.storage,
            self.image.id,
        )

    def tombstone(self, image_id):
        key = layout.tombstone_key(image_id)
        return markers.Tombstone.from_bytes(
            self.storage.read(key), key, image_id
        )

    def test_tombstone_says_which_generation_is_gone(self):
        images.delete(self.storage, self.image.id)

        tombstone = self.tombstone(self.image.id)
        self.assertEqual(
            (self.image.root.chain, self.image.root.generation),
            (tombstone.chain, tombstone.generation),
        )

    def test_unknown_image_can_be_deleted(self):
        unknown = base.new_id()
        images.delete(self.storage, unknown)

        self.assertTrue(images.is_deleted(self.storage, unknown))
        self.assertIsNone(self.tombstone(unknown).generation)

    def test_damaged_image_can_be_deleted(self):
        self.mark()
        self.flip(layout.root_key(self.image.id), 200)
        images.delete(self.storage, self.image.id)

        self.assertIsNone(self.tombstone(self.image.id).generation)
        self.assertEqual([], list(images.listing(self.storage)))

    def test_tombstone_outweighs_what_a_power_loss_brings_back(self):
        self.mark()
        keys = [
            layout.root_key(self.image.id),
            layout.commit_key(self.image.id),
        ]
        kept = {key: self.storage.read(key) for key in keys}
        images.delete(self.storage, self.image.id)
        for key, data in kept.items():
            self.storage.create(key, [data])

        self.assertFalse(images.is_marked(self.storage, self.image.id))

    def test_every_bit_of_root_and_marker_matters(self):
        self.mark()
        for key in (
            layout.root_key(self.image.id),
            layout.commit_key(self.image.id),
        ):
            for offset in range(0, self.storage.size(key), 3):
                self.flip(key, offset, offset % 8)
                error = self.assertRaises(
                    (errors.Corrupt, errors.UnsupportedFormat),
                    images.read_root,
                    self.storage,
                    self.image.id,
                )
                self.assertIn(self.image.id, str(error))
                self.flip(key, offset, offset % 8)

    def test_root_of_another_image_is_damage(self):
        other = self.store(b'x')
        os.replace(
            os.path.join(self.path, layout.root_key(other.id)),
            os.path.join(self.path, layout.root_key(self.image.id)),
        )

        self.assertRaises(
            errors.Corrupt, images.read_root, self.storage, self.image.id
        )

    def test_exchanged_root_is_damage(self):
        # Valid in itself, but not the one that the marker names.
        self.mark()
        key = layout.root_key(self.image.id)
        self.storage.delete(key)
        changed = self.image.root.to_json()
        changed['size'] += 1
        self.storage.create(
            key, [type(self.image.root).from_json(changed).to_bytes()]
        )

        error = self.assertRaises(
            errors.Corrupt, images.read_root, self.storage, self.image.id
        )
        self.assertIn('not the one that was committed', str(error))
