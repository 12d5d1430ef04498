# SPDX-License-Identifier: Apache-2.0
import os
import zlib

import fixtures

from hypothesis import strategies as st

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from ebackup_service.repository import record
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import strategies

CHUNK = base.CHUNK


class TableTestCase(base.RepositoryTestCase):
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
        self.key = layout.pack_key(self.address)
        self.length = self.storage.size(self.key)
        self.footer = self.length - pack.TRAILER_SIZE - 20 * pack.ROW_SIZE

    def truncate(self, length):
        os.truncate(os.path.join(self.path, self.key), length)

    def rows(self, table):
        return [
            (row['id'].tobytes(), int(row['offset']), int(row['length']))
            for row in table
        ]

    def expected(self, *without):
        return [
            (where.id, where.offset, where.length)
            for number, where in enumerate(self.where)
            if number not in without
        ]

    def load(self):
        return self.rows(pack_table.load(self.repo, self.address))

    def scan(self):
        return self.rows(pack_table.scan(self.repo, self.address))


class LoadTestCase(TableTestCase):
    def test_footer_says_what_is_there(self):
        self.assertEqual(self.expected(), self.load())
        table = pack_table.load(self.repo, self.address)
        self.assertEqual(CHUNK - 3, int(table[3]['plain_length']))

    def test_missing_pack_is_told(self):
        self.storage.delete(self.key)

        self.assertRaises(errors.ObjectMissing, self.load)

    def test_truncated_pack_is_told(self):
        for length in (self.length - 1, self.footer, 200, 128, 10, 0):
            self.truncate(length)
            error = self.assertRaises(errors.Corrupt, self.load)
            self.assertIn(self.key, str(error))

    def test_longer_pack_is_told(self):
        self.patch_object(self.key, self.length, b'more')

        self.assertRaises(errors.Corrupt, self.load)

    def test_pack_that_shrinks_meanwhile_is_told(self):
        real = self.storage.size

        def size(key):
            found = real(key)
            self.truncate(500)
            return found

        self.useFixture(fixtures.MockPatchObject(self.storage, 'size', size))
        self.assertRaises(errors.Corrupt, self.load)

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

    def test_pack_of_another_repository_is_told(self):
        self.repo.uuid_bytes = bytes(16)

        error = self.assertRaises(errors.Corrupt, self.load)
        self.assertIn('another pack', str(error))

    def test_footer_that_contradicts_itself_is_told(self):
        # With checksums that are right.
        with open(os.path.join(self.path, self.key), 'rb') as file:
            data = bytearray(file.read())
        data[self.footer + 32] ^= 1
        table = data[self.footer : -pack.TRAILER_SIZE]
        data[-24:-20] = zlib.crc32(table).to_bytes(4, 'little')
        trailer = data[-pack.TRAILER_SIZE :]
        data[-12:-8] = zlib.crc32(trailer[:20]).to_bytes(4, 'little')
        self.patch_object(self.key, 0, bytes(data))

        error = self.assertRaises(errors.Corrupt, self.load)
        self.assertIn('contradicts', str(error))

    def test_huge_counts_allocate_nothing(self):
        trailer = b'\xff\xff\xff\xff' + bytes(16)
        self.patch_object(
            self.key,
            self.length - pack.TRAILER_SIZE,
            trailer + zlib.crc32(trailer).to_bytes(4, 'little'),
        )

        self.assertRaises(errors.Corrupt, self.load)


class ScanTestCase(TableTestCase):
    def test_scan_finds_what_the_footer_says(self):
        self.assertEqual(
            pack_table.load(self.repo, self.address).tobytes(),
            pack_table.scan(self.repo, self.address).tobytes(),
        )

    def test_lost_footer_is_no_loss(self):
        self.truncate(self.footer)
        self.assertEqual(self.expected(), self.scan())

        self.truncate(self.footer - 1)
        self.assertEqual(self.expected(19), self.scan())

    def test_damaged_header_costs_one_record(self):
        self.flip(self.key, self.where[5].offset + 9)

        self.assertEqual(self.expected(5), self.scan())

    def test_damaged_magic_costs_one_record(self):
        self.flip(self.key, self.where[0].offset)

        self.assertEqual(self.expected(0), self.scan())

    def test_zeroed_block_costs_what_it_covers(self):
        self.patch_object(self.key, self.where[7].offset - 10, bytes(4096))

        self.assertEqual(self.expected(7), self.scan())

    def test_windows_of_any_size_find_the_same(self):
        self.flip(self.key, self.where[5].offset)
        for window in (*range(64, 80), 1000, 4095, 4096):
            self.useFixture(
                fixtures.MockPatchObject(pack_table, '_WINDOW', window)
            )
            self.assertEqual(self.expected(5), self.scan())

    def test_records_of_the_other_kind_are_left_out(self):
        header = record.pack_header(location.PAGE, 0, 10, 10, bytes(32))
        self.patch_object(self.key, self.where[3].offset, header)

        self.assertEqual(self.expected(3), self.scan())

    def test_header_inside_of_a_payload_counts_only_after_damage(self):
        inner = record.pack_header(location.DATA, 0, 10, 10, b'i' * 32)
        self.patch_object(self.key, self.where[3].offset + 1000, inner)
        self.assertEqual(self.expected(), self.scan())

    def test_empty_object_holds_nothing(self):
        self.truncate(0)

        self.assertEqual([], self.scan())

    def test_missing_pack_is_told(self):
        self.storage.delete(self.key)

        self.assertRaises(errors.ObjectMissing, self.scan)
