# SPDX-License-Identifier: Apache-2.0
import os
import struct
import zlib

from hypothesis import strategies as st

from ebackup_service.repository import codec
from ebackup_service.repository import errors
from ebackup_service.repository import ids
from ebackup_service.repository import location
from ebackup_service.repository import record
from tests import base
from tests.unit.ebackup_service.repository import strategies

HASHER = ids.chunk_hasher(bytes(32))
PACK = location.PackAddress(bytes(16), location.DATA, 1)


def make(plain, compression='zstd'):
    """A record of a chunk, and its locator."""
    encoding, payload = codec.Encoder(compression).encode(plain)
    chunk_id = HASHER(plain)
    data = record.pack_header(
        location.DATA, encoding, len(plain), len(payload), chunk_id
    ) + bytes(payload)
    return data, location.Locator(chunk_id, PACK, 128, len(data), 1)


def header(**changes):
    """A header with a right checksum, whatever else is wrong."""
    fields = {
        'magic': record.MAGIC,
        'kind': 1,
        'encoding': 1,
        'extension': 0,
        'plain': 100,
        'payload': 50,
        'epoch': 0,
        'zeros': bytes(8),
        **changes,
    }
    first = struct.pack('<4sBBHIII8s', *fields.values())
    crc = zlib.crc32(bytes(32), zlib.crc32(first))
    return first + struct.pack('<I', crc) + bytes(32)


class HeaderTestCase(base.BaseTestCase):
    def test_layout(self):
        data = record.pack_header(2, 1, 0x01020304, 0x0A0B0C0D, b'i' * 32)

        self.assertEqual(64, len(data))
        self.assertEqual(b'eBR1', data[:4])
        self.assertEqual(2, data[4])
        self.assertEqual(1, data[5])
        self.assertEqual(b'\x04\x03\x02\x01', data[8:12])
        self.assertEqual(b'\x0d\x0c\x0b\x0a', data[12:16])
        self.assertEqual(
            zlib.crc32(data[:28] + data[32:]),
            int.from_bytes(data[28:32], 'little'),
        )
        self.assertEqual(b'i' * 32, data[32:])

    @strategies.given(
        st.sampled_from(location.KINDS),
        st.integers(0, 2),
        st.integers(1, record.MAX_PAGE),
        st.integers(1, record.MAX_PAGE),
        strategies.IDS,
    )
    def test_round_trip(self, kind, encoding, one, two, record_id):
        payload, plain = sorted((one, two))
        data = record.pack_header(kind, encoding, plain, payload, record_id)

        found = record.unpack_header(b'..' + data, 2)

        self.assertEqual((kind, encoding, plain, payload, record_id), found)
        self.assertEqual(64 + payload, found.length)

    def test_template_is_valid(self):
        record.unpack_header(header())

    def test_other_bytes_are_no_header(self):
        for data in (b'', header()[:-1], bytes(64), b'eBR2' + bytes(60)):
            self.assertRaises(record.Malformed, record.unpack_header, data)

    def test_impossible_fields_are_refused(self):
        for changes in (
            {'kind': 0},
            {'kind': 3},
            {'encoding': 3},
            {'encoding': 0x11},
            {'plain': 0},
            {'plain': 4 * 1024 * 1024 + 1},
            {'kind': 2, 'plain': 65537},
            {'payload': 0},
            {'payload': 101},
            {'payload': 2**32 - 1},
            {'epoch': 1},
            {'zeros': b'1234567\0'},
        ):
            self.assertRaises(
                record.Malformed, record.unpack_header, header(**changes)
            )

    def test_features_to_come_are_told_from_damage(self):
        for changes in (
            {'encoding': 0x81, 'epoch': 1, 'extension': 16},
            {'encoding': 0x41, 'extension': 32},
            {'extension': 8},
        ):
            self.assertRaises(
                errors.UnsupportedFormat,
                record.unpack_header,
                header(**changes),
            )

    def test_every_bit_matters(self):
        data = record.pack_header(1, 1, 1000, 500, os.urandom(32))

        for position in range(64 * 8):
            changed = bytearray(data)
            changed[position // 8] ^= 1 << position % 8
            self.assertRaises(record.Malformed, record.unpack_header, changed)


class DecodeTestCase(base.BaseTestCase):
    def decode(self, data, where):
        return record.decode(
            memoryview(data)[: where.length],
            where.pack.kind,
            where.id,
            codec.Decoder(),
            HASHER,
        )

    @strategies.given(
        st.binary(min_size=1, max_size=300),
        st.sampled_from(codec.COMPRESSIONS),
    )
    def test_round_trip(self, plain, compression):
        data, where = make(plain * 10, compression)

        self.assertEqual(plain * 10, bytes(self.decode(data, where)))

    def test_flipped_bit_never_changes_what_is_returned(self):
        for compression in codec.COMPRESSIONS:
            plain = b'some plain bytes' * 4
            data, where = make(plain, compression)
            refused = 0
            for position in range(len(data) * 8):
                changed = bytearray(data)
                changed[position // 8] ^= 1 << position % 8
                try:
                    # A codec may have more than one form for some bytes.
                    self.assertEqual(plain, self.decode(changed, where))
                except record.Malformed:
                    refused += 1
            self.assertLess(len(data) * 8 * 0.9, refused)

    def test_another_record_is_refused(self):
        data, where = make(b'one' * 100)
        other, elsewhere = make(b'two' * 100)

        for wrong in (
            where._replace(id=elsewhere.id),
            where._replace(length=where.length - 1),
            where._replace(pack=PACK._replace(kind=location.PAGE)),
        ):
            self.assertRaises(record.Malformed, self.decode, data, wrong)
        self.assertRaises(
            record.Malformed,
            self.decode,
            other,
            where._replace(id=elsewhere.id, length=5),
        )
