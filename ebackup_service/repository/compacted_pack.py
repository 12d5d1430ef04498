# SPDX-License-Identifier: Apache-2.0
"""What compaction leaves of a data pack; section "Compacted packs".

The records that are still needed, each behind its *place*, which says where in
the pack it was. So whoever has a record's locator finds it here.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import struct
import zlib

import blake3
import numpy as np
import numpy.typing as npt

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from ebackup_service.repository import record
from ebackup_service.repository.storage import base
from ebackup_service.repository import unreadable

PLACE_MAGIC = b'eBPl'
# magic 4, offset in the pack 4, length of the record 4
_PLACE = struct.Struct('<4sII')
_CRC = struct.Struct('<I')
PLACE_SIZE = 16  # 12 + CRC 4

# Bytes that are read at once, unless a single record is longer.
_PIECE = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class CompactedPack:
    """Immutable.

    :ivar table: of its records; the offsets are those in the pack
    :ivar begins: where each begins in the object, behind its place
    """

    key: str
    table: pack_table.Table
    begins: npt.NDArray[np.int64]

    def read_into(
        self, storage: base.Storage, begin: int, view: memoryview
    ) -> None:
        """Fill a buffer with bytes of the pack from an offset on.

        Where it has none, zeros take their place, which are no record.

        :raises ObjectMissing: the object is gone
        :raises ObjectTruncated: it is too short
        """
        np.frombuffer(view, np.uint8)[:] = 0
        first = int(np.searchsorted(self.table['offset'], begin))
        ends = self.table['offset'].astype(np.int64) + self.table['length']
        stop = int(np.searchsorted(ends, begin + len(view), side='right'))
        while first < stop:
            start = int(self.begins[first])
            reach = np.searchsorted(
                self.begins[first:stop] + self.table['length'][first:stop],
                start + _PIECE,
                side='right',
            )
            last = first + max(int(reach), 1)
            self._piece(storage, first, last, begin, view)
            first = last

    def _piece(
        self,
        storage: base.Storage,
        first: int,
        last: int,
        begin: int,
        view: memoryview,
    ) -> None:
        start = int(self.begins[first])
        end = int(self.begins[last - 1]) + int(self.table['length'][last - 1])
        piece = memoryview(bytearray(end - start))
        storage.read_into(self.key, start, piece)
        for offset, length, at in zip(
            self.table['offset'][first:last].tolist(),
            self.table['length'][first:last].tolist(),
            (self.begins[first:last] - start).tolist(),
            strict=True,
        ):
            to = offset - begin
            view[to : to + length] = piece[at : at + length]


def size(table: pack_table.Table) -> int:
    """Bytes that an object with these records has."""
    return (
        pack.HEADER_SIZE
        + int(table['length'].sum(dtype=np.int64))
        + len(table) * (PLACE_SIZE + pack.ROW_SIZE)
        + pack.TRAILER_SIZE
    )


def seal(
    address: location.PackAddress,
    repository: bytes,
    table: pack_table.Table,
    records: Sequence[base.Buffer],
) -> list[base.Buffer]:
    """The object, in parts.

    :param repository: the 16 bytes of its UUID
    :param table: rows of the pack's table
    :param records: the bytes of each
    """
    parts: list[base.Buffer] = [
        pack.pack_header(address, repository, pack.COMPACTED_MAGIC)
    ]
    for offset, data in zip(table['offset'].tolist(), records, strict=True):
        place = _PLACE.pack(PLACE_MAGIC, offset, len(data))
        parts += [place + _CRC.pack(zlib.crc32(place)), data]
    begin = sum(map(len, parts))
    rows = table.tobytes()
    return [*parts, rows, pack.pack_trailer(len(table), begin, rows)]


def digest(parts: Iterable[base.Buffer]) -> str:
    """The hash, hex, that the key of an object has."""
    hasher = blake3.blake3()
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()


def load(
    repo: opened.OpenRepository, address: location.PackAddress, key: str
) -> CompactedPack:
    """What the footer says, checked against the header.

    :param address: of the pack
    :raises ObjectMissing: there is no such object
    :raises Corrupt: header, footer or length is damaged, or can't be read
    :raises UnsupportedFormat: it has a newer format
    """
    try:
        table, begin = unreadable.attempt(
            repo.storage,
            'compacted pack',
            key,
            lambda: pack_table.footer(
                repo, address, key, pack.COMPACTED_MAGIC
            ),
        )
        ends = table['offset'].astype(np.int64) + table['length']
        made = _made(key, table)
        if (
            (table['offset'] < pack.HEADER_SIZE).any()
            or (ends[:-1] > table['offset'][1:]).any()
            or (ends > repo.config.pack_size).any()
            or size(table) - len(table) * pack.ROW_SIZE - pack.TRAILER_SIZE
            != begin
        ):
            raise record.Malformed('its footer contradicts itself')
    except record.Malformed as error:
        raise errors.Corrupt('compacted pack', key, str(error)) from error
    except errors.ObjectTruncated as error:
        raise errors.Corrupt(
            'compacted pack', key, 'it is too short'
        ) from error
    except errors.UnsupportedFormat as error:
        raise errors.UnsupportedFormat(f'{key}: {error}') from error
    return made


def scan(
    repo: opened.OpenRepository, address: location.PackAddress, key: str
) -> CompactedPack:
    """What places and records say, damaged ones left out; see pack_table.

    :raises ObjectMissing: there is no such object
    """
    rows: dict[int, tuple[bytes, int]] = {}
    position: int | None = pack.HEADER_SIZE
    try:
        window = pack_table.Window(repo.storage, key, repo.config.pack_size)
    except errors.Corrupt:
        position = None
    while position is not None:
        try:
            offset, length = _place(window.read(position, PLACE_SIZE))
            begin = position + PLACE_SIZE
            header = record.unpack_header(
                window.read(begin, record.HEADER_SIZE)
            )
            if (
                header.kind != address.kind
                or header.length != length
                or begin + length > window.size
            ):
                raise record.Malformed('not in this pack')
        except (record.Malformed, errors.UnsupportedFormat):
            position = window.find(PLACE_MAGIC, position + 1)
            continue
        row = pack.pack_row(
            header.id,
            offset,
            length,
            header.plain_length,
            header.kind,
            header.encoding,
        )
        rows[offset] = row, begin
        position = begin + length
    ordered = [rows[offset] for offset in sorted(rows)]
    return CompactedPack(
        key,
        np.frombuffer(b''.join(row for row, _ in ordered), pack.TABLE),
        np.array([begin for _, begin in ordered], dtype=np.int64),
    )


def _made(key: str, table: pack_table.Table) -> CompactedPack:
    steps = table['length'].astype(np.int64) + PLACE_SIZE
    begins = pack.HEADER_SIZE + PLACE_SIZE + np.cumsum(steps) - steps
    return CompactedPack(key, table, begins)


def _place(data: bytes) -> tuple[int, int]:
    """(offset in the pack, length) of the record that follows.

    :raises Malformed: it is no place, or damaged
    """
    if len(data) < PLACE_SIZE:
        raise record.Malformed('no space for a place')
    magic, offset, length = _PLACE.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _PLACE.size)
    if magic != PLACE_MAGIC or zlib.crc32(data[: _PLACE.size]) != crc:
        raise record.Malformed('no place, or a damaged one')
    return offset, length
