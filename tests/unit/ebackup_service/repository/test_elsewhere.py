# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service.repository import damage
from ebackup_service.repository import elsewhere
from ebackup_service.repository import errors
from tests.unit.ebackup_service.repository import base

CHUNKS = 20
ERROR = errors.Corrupt('chunk', 'pack', 'broken')


class PlacesTestCase(base.RepositoryTestCase):
    """Five images, each of which has stored the same chunks."""

    def setUp(self):
        super().setUp()
        data = os.urandom(CHUNKS * base.CHUNK)
        self.images = [
            self.backup(data, generation=generation)
            for generation in range(1, 6)
        ]
        self.records = damage.DamagedRecords()
        self.chunk_id = self.place(0, 7).id

    def place(self, image, number):
        tree = self.repo.tree(self.images[image].root)
        return tree.leaf(0).locator(number)

    def found(self, *wanted):
        places = elsewhere.Places(set(wanted), self.records)
        places.look(self.repo, base.nothing_to_check)
        return places.found

    def test_nothing_is_wanted(self):
        self.assertEqual({}, self.found())

    def test_three_places_of_what_is_wanted(self):
        self.assertEqual(
            {self.chunk_id: [self.place(image, 7) for image in range(3)]},
            self.found(self.chunk_id, bytes(32)),
        )

    def test_damaged_ones_are_passed_over(self):
        self.records.add(self.place(1, 7), ERROR)
        self.records.lose(self.place(2, 7).pack, gone=True)
        # Of this one it isn't known.
        self.records.lose(self.place(3, 7).pack, gone=False)

        self.assertEqual(
            [self.place(image, 7) for image in (0, 3, 4)],
            self.found(self.chunk_id)[self.chunk_id],
        )

    def test_images_that_do_not_count(self):
        for image in self.images[:3]:
            self.repo.delete_image(image.id)

        self.assertEqual(
            [self.place(image, 7) for image in (3, 4)],
            self.found(self.chunk_id)[self.chunk_id],
        )

    def test_ids_that_begin_alike(self):
        self.assertEqual({}, self.found(self.chunk_id[:8] + bytes(24)))

    def test_all_are_wanted(self):
        ids = {self.place(0, number).id for number in range(CHUNKS)}

        self.assertEqual(ids, self.found(*ids).keys())


class RecordsTestCase(PlacesTestCase):
    def setUp(self):
        super().setUp()
        self.paces = []
        self.places = elsewhere.Places({self.chunk_id}, self.records)
        self.places.look(self.repo, base.nothing_to_check)
        self.reader = elsewhere.Records(
            self.repo, self.places, base.nothing_to_check, self.paces.append
        )
        self.where = self.place(0, 7)

    def flip_place(self, image):
        where = self.place(image, 7)
        self.flip(
            elsewhere.reader.layout.pack_key(where.pack), where.offset + 99
        )

    def test_record_in_its_place(self):
        data = self.reader.read(self.where)

        self.assertEqual(self.where.length, len(data))
        self.flip_place(0)
        self.assertIsNone(self.reader.read(self.where))
        self.assertEqual([self.where.length] * 2, self.paces)

    def test_record_that_is_elsewhere(self):
        data = self.reader.read(self.where)
        for image in (0, 1):
            self.flip_place(image)

        self.assertEqual(data, self.reader.elsewhere(self.where))
        self.assertTrue(self.reader.has(self.chunk_id))

    def test_record_that_is_damaged_everywhere(self):
        for image in range(3):
            self.flip_place(image)

        self.assertIsNone(self.reader.elsewhere(self.where))

    def test_record_that_is_nowhere_else(self):
        other = self.place(0, 8)

        self.assertIsNone(self.reader.elsewhere(other))
        self.assertFalse(self.reader.has(other.id))

    def test_length_that_nothing_fits(self):
        short = self.where._replace(length=100)

        self.assertIsNone(self.reader.elsewhere(short))
