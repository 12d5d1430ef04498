# SPDX-License-Identifier: Apache-2.0
"""The parts of packs, and packs being written; section "Packs"."""

import struct
import zlib

import numpy as np

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import memory
from ebackup_service.repository import record
from ebackup_service.repository.storage import base

MAGIC = b'eBackPk1'
# Of what compaction has left of a pack.
COMPACTED_MAGIC = b'eBackCp1'
FORMAT = 1
# magic 8, format 2, kind 1, zero 1, ordinal 4, session 16, repository 16,
# zero 76
_HEADER = struct.Struct('<8sHBBI16s16s76s')
_CRC = struct.Struct('<I')
HEADER_SIZE = 128  # 124 + CRC 4
_ZEROS = bytes(76)

# id 32, offset 4, length 4, plain length 4, kind 1, encoding 1, zero 2
_ROW = struct.Struct('<32sIIIBBH')
TABLE = np.dtype(
    [
        ('id', 'u1', (32,)),
        ('offset', '<u4'),
        ('length', '<u4'),
        ('plain_length', '<u4'),
        ('kind', 'u1'),
        ('encoding', 'u1'),
        ('zero', '<u2'),
    ]
)
ROW_SIZE = 48

END_MAGIC = b'eBackEnd'
# count 4, offset of the table 4, CRC of the table 4, zero 8
_TRAILER = struct.Struct('<III8s')
TRAILER_SIZE = 32  # 20 + CRC 4 + magic 8

DEFAULT_SIZE = 32 * 1024 * 1024
MIN_SIZE = 64 * 1024
MAX_SIZE = 1024 * 1024 * 1024
# Records whose headers and rows are made at once: between two that are
# compressed, code and data of both would be out of the processor's caches.
_AT_ONCE = 256
# What a pack needs beside the payload of its only record.
OVERHEAD = HEADER_SIZE + record.HEADER_SIZE + ROW_SIZE + TRAILER_SIZE


def pack_row(
    record_id: bytes,
    offset: int,
    length: int,
    plain_length: int,
    kind: int,
    encoding: int,
) -> bytes:
    """One row of the footer table."""
    return _ROW.pack(
        record_id, offset, length, plain_length, kind, encoding, 0
    )


def pack_header(
    address: location.PackAddress, repository: bytes, magic: bytes = MAGIC
) -> bytes:
    """The header of a pack; ``repository`` is the 16 bytes of its UUID."""
    header = _HEADER.pack(
        magic,
        FORMAT,
        address.kind,
        0,
        address.ordinal,
        address.session,
        repository,
        _ZEROS,
    )
    return header + _CRC.pack(zlib.crc32(header))


def check_header(
    data: base.Buffer,
    address: location.PackAddress,
    repository: bytes,
    expected: bytes = MAGIC,
) -> None:
    """Compare the first bytes of a pack with what they must be.

    :raises Malformed: they differ
    :raises UnsupportedFormat: the pack has a newer format
    """
    magic, version, *_ = _HEADER.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    if magic != expected or zlib.crc32(data[: _HEADER.size]) != crc:
        raise record.Malformed('damaged header')
    if version != FORMAT:
        raise errors.UnsupportedFormat(
            f'A pack has format {version}, not {FORMAT}; upgrade'
        )
    if data[:HEADER_SIZE] != pack_header(address, repository, expected):
        raise record.Malformed('it is another pack than its name says')


def pack_trailer(count: int, begin: int, table: base.Buffer) -> bytes:
    """The trailer behind a table of ``count`` rows.

    :param begin: offset of the table in the object
    """
    trailer = _TRAILER.pack(count, begin, zlib.crc32(table), bytes(8))
    return trailer + _CRC.pack(zlib.crc32(trailer)) + END_MAGIC


def unpack_trailer(data: base.Buffer) -> tuple[int, int, int]:
    """(number of rows, offset of the table, its CRC-32) of a trailer.

    :raises Malformed: it is none, or damaged
    """
    count, begin, table_crc, zeros = _TRAILER.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _TRAILER.size)
    if (
        data[_TRAILER.size + 4 :] != END_MAGIC
        or zlib.crc32(data[: _TRAILER.size]) != crc
        or any(zeros)
    ):
        raise record.Malformed('no valid trailer')
    return count, begin, table_crc


class PackBuilder:
    """One pack after the other in one preallocated, aligned buffer.

    The buffer is touched only as far as packs reach. Of the records that were
    appended last it has the payloads only, until the others are needed.

    :ivar count: records of the pack
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._view = memoryview(memory.anonymous(capacity))
        self._table = bytearray()
        # Of each record without a header: what pack_row takes.
        self._headless: list[tuple[bytes, int, int, int, int, int]] = []
        self._position = 0
        self.count = 0

    def start(self, address: location.PackAddress, repository: bytes) -> None:
        """Begin a pack; ``repository`` is the 16 bytes of its UUID."""
        self._view[:HEADER_SIZE] = pack_header(address, repository)
        self._position = HEADER_SIZE
        self._table.clear()
        self._headless.clear()
        self.count = 0

    def fits(self, payload_length: int) -> bool:
        """Whether one more record finds room, with its row."""
        return (
            self._position
            + record.HEADER_SIZE
            + payload_length
            + (self.count + 1) * ROW_SIZE
            + TRAILER_SIZE
            <= self._capacity
        )

    def append(
        self,
        kind: int,
        encoding: int,
        record_id: bytes,
        plain_length: int,
        payload: base.Buffer,
    ) -> tuple[int, int]:
        """Add a record that fits; its offset and length in bytes."""
        offset = self._position
        begin = offset + record.HEADER_SIZE
        end = begin + len(payload)
        self._view[begin:end] = payload
        self._position = end
        self.count += 1
        length = end - offset
        self._headless.append(
            (record_id, offset, length, plain_length, kind, encoding)
        )
        if len(self._headless) >= _AT_ONCE:
            self._complete()
        return offset, length

    @property
    def record_bytes(self) -> int:
        """Length of all records of the pack."""
        return self._position - HEADER_SIZE

    def peek(self, offset: int, length: int) -> bytes:
        """Bytes of the pack as far as it is written."""
        self._complete()
        return bytes(self._view[offset : offset + length])

    def seal(self) -> memoryview:
        """Add table and trailer; the whole pack, to be written now.

        May be called again, with the same result, until the next start().
        """
        self._complete()
        table_end = self._position + len(self._table)
        self._view[self._position : table_end] = self._table
        end = table_end + TRAILER_SIZE
        self._view[table_end:end] = pack_trailer(
            self.count, self._position, self._table
        )
        return self._view[:end]

    def close(self) -> None:
        """Give the memory back, or leave it to the last view of seal()."""
        self._view.release()

    def _complete(self) -> None:
        """Give the records headers that have none, and rows."""
        for row in self._headless:
            record_id, offset, length, plain_length, kind, encoding = row
            begin = offset + record.HEADER_SIZE
            self._view[offset:begin] = record.pack_header(
                kind,
                encoding,
                plain_length,
                length - record.HEADER_SIZE,
                record_id,
            )
            self._table += pack_row(*row)
        self._headless.clear()
