# SPDX-License-Identifier: Apache-2.0
from unittest import mock
import weakref
import zlib

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import pack
from ebackup_service.repository import record
from tests import base

REPOSITORY = b'r' * 16
ADDRESS = location.PackAddress(b's' * 16, location.DATA, 7)


class PackBuilderTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.builder = pack.PackBuilder(pack.MIN_SIZE)
        self.builder.start(ADDRESS, REPOSITORY)

    def seal(self):
        with self.builder.seal() as view:
            return bytes(view)

    def test_layout(self):
        one = self.builder.append(1, 0, b'a' * 32, 3, b'abc')
        two = self.builder.append(1, 1, b'b' * 32, 100, b'payload')
        data = self.seal()

        self.assertEqual([(128, 67), (195, 71)], [one, two])
        self.assertEqual(b'eBackPk1\x01\0\x01\0\x07\0\0\0', data[:16])
        self.assertEqual(b's' * 16 + b'r' * 16 + bytes(76), data[16:124])
        self.assertEqual(
            zlib.crc32(data[:124]), int.from_bytes(data[124:128], 'little')
        )
        self.assertEqual(b'abc', data[192:195])
        self.assertEqual(b'payload', data[259:266])
        table = data[266 : 266 + 96]
        self.assertEqual(b'a' * 32 + b'\x80\0\0\0\x43\0\0\0', table[:40])
        self.assertEqual(b'\x03\0\0\0\x01\0\0\0', table[40:48])
        trailer = data[-32:]
        self.assertEqual(b'\x02\0\0\0\x0a\x01\0\0', trailer[:8])
        self.assertEqual(
            zlib.crc32(table), int.from_bytes(trailer[8:12], 'little')
        )
        self.assertEqual(b'eBackEnd', trailer[24:])
        self.assertEqual(266 + 96 + 32, len(data))

    def test_sealing_again_gives_the_same(self):
        self.builder.append(1, 0, b'a' * 32, 3, b'abc')

        self.assertEqual(self.seal(), self.seal())

    def test_fills_up_to_its_capacity(self):
        while self.builder.fits(1000):
            self.builder.append(1, 0, b'a' * 32, 1000, bytes(1000))
        data = self.seal()

        self.assertLessEqual(len(data), pack.MIN_SIZE)
        self.assertGreater(len(data), pack.MIN_SIZE - 1000 - 112)
        self.assertEqual(self.builder.count * 1064, self.builder.record_bytes)

    def test_last_byte_can_be_used(self):
        payload = bytes(pack.MIN_SIZE - pack.OVERHEAD)

        self.assertFalse(self.builder.fits(len(payload) + 1))
        self.assertTrue(self.builder.fits(len(payload)))
        self.builder.append(1, 0, b'a' * 32, len(payload), payload)
        self.assertEqual(pack.MIN_SIZE, len(self.seal()))

    def test_next_pack_has_nothing_of_the_last(self):
        self.builder.append(1, 0, b'a' * 32, 5000, bytes(5000))
        self.seal()
        fresh = pack.PackBuilder(pack.MIN_SIZE)
        for builder in (self.builder, fresh):
            builder.start(ADDRESS._replace(ordinal=8), REPOSITORY)
            builder.append(1, 0, b'b' * 32, 1, b'x')

        with fresh.seal() as expected:
            self.assertEqual(bytes(expected), self.seal())

    def test_peek(self):
        offset, length = self.builder.append(1, 0, b'a' * 32, 3, b'abc')

        self.assertEqual(
            b'abc', self.builder.peek(offset, length)[record.HEADER_SIZE :]
        )

    def test_headers_that_are_made_together_are_those_made_singly(self):
        packs = []
        for at_once in (1, 3, 256):
            self.builder.start(ADDRESS, REPOSITORY)
            with mock.patch.object(pack, '_AT_ONCE', at_once):
                for number in range(7):
                    payload = bytes([number]) * (number + 1)
                    self.builder.append(
                        1, 0, payload[:1] * 32, number + 1, payload
                    )
                packs.append(self.seal())

        self.assertEqual([packs[0]] * 3, packs)
        header = record.unpack_header(packs[0], 128 + 65)
        self.assertEqual((2, b'\1' * 32), (header.plain_length, header.id))

    def test_close_gives_the_memory_back(self):
        memory = weakref.ref(self.builder._view.obj)

        self.builder.close()

        self.assertIsNone(memory())

    def test_close_leaves_the_memory_to_who_still_holds_it(self):
        """As the traceback of a failed write does."""
        expected = self.seal()
        held = self.builder.seal()

        self.builder.close()

        self.assertEqual(expected, bytes(held))


class HeaderTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.header = pack.pack_header(ADDRESS, REPOSITORY)

    def test_own_header_passes(self):
        pack.check_header(self.header, ADDRESS, REPOSITORY)

    def test_every_bit_matters(self):
        for position in range(len(self.header) * 8):
            changed = bytearray(self.header)
            changed[position // 8] ^= 1 << position % 8
            self.assertRaises(
                record.Malformed,
                pack.check_header,
                changed,
                ADDRESS,
                REPOSITORY,
            )

    def test_another_pack_is_refused(self):
        for address, repository in (
            (ADDRESS._replace(ordinal=8), REPOSITORY),
            (ADDRESS._replace(kind=2), REPOSITORY),
            (ADDRESS._replace(session=b't' * 16), REPOSITORY),
            (ADDRESS, b'q' * 16),
        ):
            self.assertRaises(
                record.Malformed,
                pack.check_header,
                self.header,
                address,
                repository,
            )

    def test_newer_format_is_told_from_damage(self):
        newer = bytearray(self.header)
        newer[8] = 2
        newer[124:] = zlib.crc32(newer[:124]).to_bytes(4, 'little')

        self.assertRaises(
            errors.UnsupportedFormat,
            pack.check_header,
            newer,
            ADDRESS,
            REPOSITORY,
        )


class TrailerTestCase(base.BaseTestCase):
    def test_every_bit_matters(self):
        builder = pack.PackBuilder(pack.MIN_SIZE)
        builder.start(ADDRESS, REPOSITORY)
        builder.append(1, 0, b'a' * 32, 3, b'abc')
        with builder.seal() as view:
            trailer = bytes(view[-32:])

        self.assertEqual((1, 195), pack.unpack_trailer(trailer)[:2])
        for position in range(len(trailer) * 8):
            changed = bytearray(trailer)
            changed[position // 8] ^= 1 << position % 8
            self.assertRaises(record.Malformed, pack.unpack_trailer, changed)
