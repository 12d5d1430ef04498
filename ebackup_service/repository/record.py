# SPDX-License-Identifier: Apache-2.0
"""Records in packs; section "Packs" of the format."""

import struct
from typing import NamedTuple
import zlib

from ebackup_service.repository import codec
from ebackup_service.repository import errors
from ebackup_service.repository import ids
from ebackup_service.repository import location
from ebackup_service.repository.storage import base

MAGIC = b'eBR1'
# magic 4, kind 1, encoding 1, extension 2, plain length 4, payload length 4,
# key epoch 4, zero 8
_FIELDS = struct.Struct('<4sBBHIII8s')
# 28 + CRC 4 + id 32
_HEADER = struct.Struct('<4sBBHIII8sI32s')
_CRC = struct.Struct('<I')
HEADER_SIZE = 64

MAX_CHUNK = 4 * 1024 * 1024
MAX_PAGE = 64 * 1024
_MAX_PLAIN = {location.DATA: MAX_CHUNK, location.PAGE: MAX_PAGE}

_CODEC_BITS = 0x0F
_RESERVED_BITS = 0x30
_DIFFERENCE_BIT = 0x40
_ENCRYPTED_BIT = 0x80
_ZEROS = bytes(8)


class Malformed(Exception):
    """Bytes that can't be what they should be; the message says why."""


class Header(NamedTuple):
    """What a record says of itself; lengths in bytes."""

    kind: int
    encoding: int
    plain_length: int
    payload_length: int
    id: bytes

    @property
    def length(self) -> int:
        """Of the whole record."""
        return HEADER_SIZE + self.payload_length


def max_length(kind: int) -> int:
    """The longest record of a kind, in bytes."""
    return HEADER_SIZE + _MAX_PLAIN[kind]


def pack_header(
    kind: int,
    encoding: int,
    plain_length: int,
    payload_length: int,
    record_id: bytes,
) -> bytes:
    fields = _FIELDS.pack(
        MAGIC, kind, encoding, 0, plain_length, payload_length, 0, _ZEROS
    )
    crc = zlib.crc32(record_id, zlib.crc32(fields))
    return fields + _CRC.pack(crc) + record_id


def unpack_header(buffer: base.Buffer, offset: int = 0) -> Header:
    """Read and check a header.

    :raises Malformed: it is none, or damaged
    :raises UnsupportedFormat: it is valid, and uses a feature that we lack
    """
    if len(buffer) - offset < HEADER_SIZE:
        raise Malformed('no space for a record header')
    (
        magic,
        kind,
        encoding,
        extension,
        plain_length,
        payload_length,
        key_epoch,
        zeros,
        crc,
        record_id,
    ) = _HEADER.unpack_from(buffer, offset)
    if magic != MAGIC:
        raise Malformed('no record begins here')
    fields = buffer[offset : offset + _FIELDS.size]
    if zlib.crc32(record_id, zlib.crc32(fields)) != crc:
        raise Malformed('wrong checksum of the record header')
    if encoding & (_DIFFERENCE_BIT | _ENCRYPTED_BIT) or extension:
        raise errors.UnsupportedFormat(
            f'A record of encoding {encoding:#04x} is encrypted or a '
            'difference, which this version does not know; upgrade'
        )
    if (
        kind not in _MAX_PLAIN
        or encoding & _RESERVED_BITS
        or encoding & _CODEC_BITS > codec.LZ4
        or key_epoch
        or zeros != _ZEROS
    ):
        raise Malformed('unknown kind or encoding of the record')
    if (
        not 0 < plain_length <= _MAX_PLAIN[kind]
        or not 0 < payload_length <= plain_length
    ):
        raise Malformed('impossible length of the record')
    return Header(kind, encoding, plain_length, payload_length, record_id)


def decode(
    record: memoryview,
    kind: int,
    record_id: bytes,
    decoder: codec.Decoder,
    hasher: ids.Hasher,
    into: memoryview | None = None,
) -> base.Buffer:
    """The verified plain bytes of a record.

    The result may be a view into ``record``.

    :param record: bytes as they were read, of the length expected
    :param kind: expected kind
    :param record_id: expected id
    :param into: where they are to be; see codec.Decoder
    :raises Malformed: they are not the record that is expected, or its bytes
        don't have its id
    """
    header = unpack_header(record)
    if (
        header.kind != kind
        or header.id != record_id
        or HEADER_SIZE + header.payload_length != len(record)
    ):
        raise Malformed('another record than expected')
    try:
        plain = decoder.decode(
            header.encoding, record[HEADER_SIZE:], header.plain_length, into
        )
    except codec.DecodeError as error:
        raise Malformed(str(error)) from error
    if hasher(plain) != record_id:
        raise Malformed('the bytes do not have the expected id')
    return plain
