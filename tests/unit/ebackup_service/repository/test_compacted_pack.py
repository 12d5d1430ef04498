# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock
import zlib

import fixtures
from hypothesis import strategies as st

from ebackup_service.repository import compacted_pack
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from ebackup_service.repository import record
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import strategies

CHUNK = base.CHUNK
KEPT = [1, 2, 5, 9, 19]


class CompactedPackTestCase(base.RepositoryTestCase):
    """A pack of twenty records of random bytes, of which five are kept."""

    def setUp(self):
        super().setUp()
        session = self.repo.session(base.new_id(), 1)
        chunks = session.writer()
        self.where = []
        for number in range(20):
            plain = os.urandom(CHUNK - number)
            self.where.append(chunks.add(self.repo.chunk_id(plain), plain))
        chunks.flush()
        self.address = self.where[0].pack
        self.pack = self.storage.read(layout.pack_key(self.address))
        self.table = pack_table.load(self.repo, self.address)[KEPT]
        parts = compacted_pack.seal(
            self.address,
            self.repo.uuid_bytes,
            self.table,
            [self.record(number) for number in KEPT],
        )
        self.key = layout.compacted_key(
            self.address, 1, compacted_pack.digest(parts)
        )
        self.storage.create(self.key, parts)
        self.length = self.storage.size(self.key)
        self.footer = (
            self.length - pack.TRAILER_SIZE - len(KEPT) * pack.ROW_SIZE
        )

    def record(self, number):
        where = self.where[number]
        return self.pack[where.offset : where.offset + where.length]

    def truncate(self, length):
        os.truncate(os.path.join(self.path, self.key), length)

    def load(self):
        return compacted_pack.load(self.repo, self.address, self.key)

    def scan(self):
        return compacted_pack.scan(self.repo, self.address, self.key)

    def assert_holds(self, found, numbers):
        """An object that was loaded or scanned has just some records."""
        self.assertEqual(
            [self.where[number].offset for number in numbers],
            found.table['offset'].tolist(),
        )
        for number in numbers:
            self.assertEqual(self.record(number), self.read(found, number))

    def read(self, found, first, last=None):
        begin = self.where[first].offset
        where = self.where[first if last is None else last]
        data = bytearray(b'x' * (where.offset + where.length - begin))
        found.read_into(self.storage, begin, memoryview(data))
        return bytes(data)


class ReadTestCase(CompactedPackTestCase):
    def test_size_is_known_before(self):
        self.assertEqual(self.length, compacted_pack.size(self.table))

    def test_records_are_found_where_they_were(self):
        self.assert_holds(self.load(), KEPT)

    def test_bytes_between_are_zeros(self):
        expected = bytearray()
        for number in range(1, 10):
            kept = self.record(number)
            expected += kept if number in KEPT else bytes(len(kept))

        self.assertEqual(bytes(expected), self.read(self.load(), 1, 9))

    def test_records_that_are_not_there_are_zeros(self):
        for number in (0, 3, 18):
            found = self.read(self.load(), number)
            self.assertEqual(bytes(len(found)), found)

    def test_neighbours_are_read_at_once_up_to_a_size(self):
        loaded = self.load()
        for piece, requests in (
            (1024 * 1024, 1),
            (2 * CHUNK + 200, 2),
            (1, 4),
        ):
            with mock.patch.object(compacted_pack, '_PIECE', piece):
                with mock.patch.object(
                    self.storage, 'read_into', wraps=self.storage.read_into
                ) as read_into:
                    found = self.read(loaded, 1, 9)
            self.assertEqual(requests, read_into.call_count)
            self.assertEqual(self.record(9), found[-len(self.record(9)) :])

    def test_object_that_went(self):
        loaded = self.load()
        self.storage.delete(self.key)

        self.assertRaises(errors.ObjectMissing, self.read, loaded, 1)

    @strategies.given(st.data())
    def test_any_range_of_records(self, data):
        first = data.draw(st.integers(0, 19))
        last = data.draw(st.integers(first, 19))
        expected = b''.join(
            self.record(number)
            if number in KEPT
            else bytes(self.where[number].length)
            for number in range(first, last + 1)
        )

        self.assertEqual(expected, self.read(self.load(), first, last))


class LoadTestCase(CompactedPackTestCase):
    def test_missing_object_is_told(self):
        self.storage.delete(self.key)

        self.assertRaises(errors.ObjectMissing, self.load)

    def test_truncated_object_is_told(self):
        for length in (self.length - 1, self.footer, 200, 128, 10, 0):
            self.truncate(length)
            error = self.assertRaises(errors.Corrupt, self.load)
            self.assertIn(self.key[:200], str(error))

    @strategies.given(st.data())
    def test_flipped_bits_are_told(self, data):
        region = data.draw(
            st.sampled_from(
                [(0, pack.HEADER_SIZE), (self.footer, self.length)]
            )
        )
        offset = data.draw(st.integers(region[0], region[1] - 1))
        bit = data.draw(st.integers(0, 7))
        self.flip(self.key, offset, bit)
        try:
            self.assertRaises(errors.Corrupt, self.load)
        finally:
            self.flip(self.key, offset, bit)

    def test_pack_in_its_place_is_told(self):
        os.unlink(os.path.join(self.path, self.key))
        self.storage.create(self.key, [self.pack])

        self.assertRaises(errors.Corrupt, self.load)

    def test_pack_of_another_name_is_told(self):
        other = self.address._replace(ordinal=77)

        error = self.assertRaises(
            errors.Corrupt, compacted_pack.load, self.repo, other, self.key
        )
        self.assertIn('another pack', str(error))

    def test_newer_format_is_told(self):
        data = bytearray(self.storage.read(self.key))
        data[8] = 2
        data[124:128] = zlib.crc32(data[:124]).to_bytes(4, 'little')
        self.patch_object(self.key, 0, bytes(data))

        error = self.assertRaises(errors.UnsupportedFormat, self.load)
        self.assertIn('upgrade', str(error))

    def test_footer_that_contradicts_itself_is_told(self):
        """With checksums that are right: offset, length, order, kind."""
        data = self.storage.read(self.key)
        for change in (
            lambda rows: rows['offset'].__setitem__(0, 127),
            lambda rows: rows['offset'].__setitem__(1, rows['offset'][0] + 9),
            lambda rows: rows['offset'].__setitem__(4, 2**32 - 1),
            lambda rows: rows['length'].__setitem__(4, 100),
            lambda rows: rows['kind'].__setitem__(3, location.PAGE),
        ):
            rows = self.table.copy()
            change(rows)
            table = rows.tobytes()
            self.patch_object(
                self.key,
                self.footer,
                table + pack.pack_trailer(len(rows), self.footer, table),
            )
            error = self.assertRaises(errors.Corrupt, self.load)
            self.assertIn('contradicts', str(error))
        self.patch_object(self.key, 0, data)
        self.load()


class ScanTestCase(CompactedPackTestCase):
    def test_scan_finds_what_the_footer_says(self):
        loaded, scanned = self.load(), self.scan()

        self.assertEqual(loaded.table.tobytes(), scanned.table.tobytes())
        self.assertEqual(loaded.begins.tolist(), scanned.begins.tolist())

    def test_lost_footer_is_no_loss(self):
        self.truncate(self.footer)

        self.assert_holds(self.scan(), KEPT)

    def test_damage_costs_what_it_covers(self):
        begins = self.load().begins.tolist()
        for at in (begins[1] - 10, begins[1] - 16, begins[1] + 9):
            self.flip(self.key, at)
            self.assert_holds(self.scan(), [1, 5, 9, 19])
            self.flip(self.key, at)
        self.truncate(self.footer - 1)
        self.assert_holds(self.scan(), [1, 2, 5, 9])

    def test_place_that_contradicts_its_record(self):
        begin = int(self.load().begins[2])
        place = compacted_pack._PLACE.pack(
            compacted_pack.PLACE_MAGIC, self.where[5].offset, 100
        )
        self.patch_object(
            self.key,
            begin - 16,
            place + zlib.crc32(place).to_bytes(4, 'little'),
        )

        self.assert_holds(self.scan(), [1, 2, 9, 19])

    def test_records_of_the_other_kind_are_left_out(self):
        begin = int(self.load().begins[0])
        length = self.where[1].length - record.HEADER_SIZE
        header = record.pack_header(
            location.PAGE, 0, length, length, bytes(32)
        )
        self.patch_object(self.key, begin, header)

        self.assert_holds(self.scan(), KEPT[1:])

    def test_windows_of_any_size_find_the_same(self):
        self.flip(self.key, int(self.load().begins[2]) - 16)
        for window in (*range(64, 80), 1000, 4095, 4096):
            self.useFixture(
                fixtures.MockPatchObject(pack_table, '_WINDOW', window)
            )
            self.assert_holds(self.scan(), [1, 2, 9, 19])

    def test_empty_object_holds_nothing(self):
        self.truncate(0)

        self.assert_holds(self.scan(), [])
        self.assertEqual(bytes(10), self.read(self.scan(), 1)[:10])

    def test_missing_object_is_told(self):
        self.storage.delete(self.key)

        self.assertRaises(errors.ObjectMissing, self.scan)


class FuzzTestCase(CompactedPackTestCase):
    """Whatever is in an object, it neither crashes a reader nor misleads."""

    @strategies.given(st.binary(max_size=600), st.booleans())
    def test_any_bytes(self, data, after_a_header):
        if after_a_header:
            data = self.storage.read(self.key)[: pack.HEADER_SIZE] + data
        os.unlink(os.path.join(self.path, self.key))
        self.storage.create(self.key, [data or b'x'])

        self.assertRaises(errors.Corrupt, self.load)
        self.assertEqual(0, len(self.scan().table))

    @strategies.given(st.data())
    def test_any_change(self, data):
        """Only records that are what they were can be read."""
        offset = data.draw(st.integers(0, self.length - 1))
        bit = data.draw(st.integers(0, 7))
        self.flip(self.key, offset, bit)
        try:
            try:
                found = self.load()
            except errors.Corrupt:
                found = self.scan()
            kept = found.table['offset'].tolist()
            wrong = 0
            for number in KEPT:
                if self.where[number].offset not in kept:
                    wrong += 1
                elif self.read(found, number) != self.record(number):
                    wrong += 1
            self.assertLessEqual(wrong, 1)
        finally:
            self.flip(self.key, offset, bit)
