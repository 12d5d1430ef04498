# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import record
from tests.unit.ebackup_service.repository import base

CHUNK = base.CHUNK


class ReaderTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        session = self.repo.session(base.new_id(), 1)
        chunks = session.writer()
        self.leaf = page.Leaf(0)
        self.plains = {}
        for slot in range(0, 240, 3):
            plain = (
                os.urandom(CHUNK) if slot % 2 else bytes([slot + 1]) * CHUNK
            )
            self.plains[slot] = plain
            self.leaf.set(slot, chunks.add(self.repo.chunk_id(plain), plain))
        # The same chunk in another place.
        self.leaf.set(1, self.leaf.locator(0))
        self.plains[1] = self.plains[0]
        chunks.flush()
        self.chunks = reader.ChunkReader(self.repo)

    def key(self, slot):
        return layout.pack_key(self.leaf.locator(slot).pack)


class ReadTestCase(ReaderTestCase):
    def read(self, where, length=CHUNK):
        out = bytearray(length)
        self.chunks.read(where, memoryview(out))
        return bytes(out)

    def test_reads_into_the_buffer(self):
        for slot, plain in self.plains.items():
            self.assertEqual(plain, self.read(self.leaf.locator(slot)))

    def test_another_length_is_damage(self):
        for length in (CHUNK - 1, CHUNK + 1):
            error = self.assertRaises(
                errors.Corrupt, self.read, self.leaf.locator(0), length
            )
            self.assertEqual('chunk', error.what)

    def test_damage_is_told_by_pack_and_offset(self):
        where = self.leaf.locator(3)
        self.flip(self.key(3), where.offset + 64 + 1000)

        error = self.assertRaises(errors.Corrupt, self.read, where)
        self.assertEqual(f'{self.key(3)} at {where.offset}', error.name)

    def test_missing_and_short_packs_are_damage(self):
        where = self.leaf.locator(3)
        os.truncate(os.path.join(self.path, self.key(3)), where.offset + 9)
        error = self.assertRaises(errors.Corrupt, self.read, where)
        self.assertEqual('pack', error.what)

        self.storage.delete(self.key(3))
        error = self.assertRaises(errors.Corrupt, self.read, where)
        self.assertEqual((self.key(3), 'it is missing'),
                         (error.name, error.reason))  # fmt: skip

    def test_impossible_length_is_refused_before_it_is_allocated(self):
        where = self.leaf.locator(3)
        with mock.patch.object(self.storage, 'read_into') as read_into:
            for length in (0, 64, 4 * 1024 * 1024 + 65, 2**32 - 1):
                self.assertRaises(
                    errors.Corrupt, self.read, where._replace(length=length)
                )
        read_into.assert_not_called()

    def test_trouble_with_the_storage_is_not_damage(self):
        with mock.patch.object(
            self.storage,
            'read_into',
            side_effect=errors.StorageUnavailable('away'),
        ):
            self.assertRaises(
                errors.StorageUnavailable, self.read, self.leaf.locator(0)
            )


class ReadLeafTestCase(ReaderTestCase):
    def setUp(self):
        super().setUp()
        self.rooms = {
            slot: memoryview(bytearray(len(plain)))
            for slot, plain in self.plains.items()
        }

    def read_leaf(self, *slots):
        """Yields slot after slot, each when its bytes are in its room."""
        for slot in self.chunks.read_leaf(
            self.leaf, slots or [*self.plains], self.rooms.__getitem__
        ):
            self.assertEqual(self.plains[slot], bytes(self.rooms[slot]))
            yield slot

    def test_all_slots(self):
        self.assertEqual({*self.plains}, {*self.read_leaf()})

    def test_wanted_slots_only(self):
        self.assertEqual([3, 9], sorted(self.read_leaf(9, 2, 3)))
        self.assertEqual(bytes(len(self.plains[0])), bytes(self.rooms[0]))

    def test_room_for_another_length_is_damage(self):
        """The second one is a copy of what was decoded for the first one."""
        for slot in 0, 1:
            room = self.rooms[slot]
            for wrong in room[:-1], memoryview(bytearray(len(room) + 1)):
                self.rooms[slot] = wrong
                error = self.assertRaises(
                    errors.Corrupt,
                    list,
                    self.chunks.read_leaf(
                        self.leaf, [0, 1], self.rooms.__getitem__
                    ),
                )
                self.assertIn(f'instead of {len(wrong)}', error.reason)
            self.rooms[slot] = room

    def test_neighbours_are_one_request(self):
        with mock.patch.object(
            self.storage, 'read_into', wraps=self.storage.read_into
        ) as read_into:
            list(self.read_leaf())

        packs = {where.pack for where in map(self.leaf.locator, self.plains)}
        self.assertEqual(len(packs), read_into.call_count)

    def test_chunk_that_occurs_twice_is_decoded_once(self):
        with mock.patch.object(
            record, 'decode', wraps=record.decode
        ) as decode:
            found = {*self.read_leaf(0, 1)}

        self.assertEqual({0, 1}, found)
        self.assertEqual(1, decode.call_count)

    def test_same_place_with_another_id_is_damage(self):
        where = self.leaf.locator(0)
        self.leaf.set(1, where._replace(id=bytes(32)))

        self.assertRaises(errors.Corrupt, list, self.read_leaf())

    def test_damage_stops_the_reading(self):
        where = self.leaf.locator(9)
        self.flip(self.key(9), where.offset + 64 + 5)
        met = []

        error = self.assertRaises(errors.Corrupt, met.extend, self.read_leaf())
        self.assertIn(f'at {where.offset}', error.name)
        self.assertNotIn(9, met)


class RecordReaderTestCase(ReaderTestCase):
    def test_other_bytes_than_a_record_of_that_length_are_damage(self):
        where = self.leaf.locator(0)

        self.assertRaises(
            errors.Corrupt,
            reader.RecordReader(self.repo).decode,
            memoryview(bytes(where.length - 1)),
            where,
        )

    def test_page_is_not_taken_for_a_chunk(self):
        where = self.leaf.locator(0)
        page_pack = where.pack._replace(kind=location.PAGE)
        os.link(
            os.path.join(self.path, self.key(0)),
            os.path.join(self.path, layout.pack_key(page_pack)),
        )

        self.assertRaises(
            errors.Corrupt,
            reader.RecordReader(self.repo).read,
            where._replace(pack=page_pack),
        )
