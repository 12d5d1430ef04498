# SPDX-License-Identifier: Apache-2.0
"""What a pack holds: from its footer, or by a scan if that is lost."""

from collections.abc import Iterator
from typing import TypeAlias
import zlib

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack
from ebackup_service.repository import record
from ebackup_service.repository.storage import base
from ebackup_service.repository import unreadable

# Rows of pack.TABLE, ascending by offset.
Table: TypeAlias = npt.NDArray[np.void]

_WINDOW = 1024 * 1024
# What is read at a time where not all can be.
_BLOCK = 4096


def load(repo: opened.OpenRepository, address: location.PackAddress) -> Table:
    """The table in the footer of a pack, checked against its header.

    :raises ObjectMissing: there is no such pack
    :raises Corrupt: header, footer or length is damaged, or can't be read
    :raises UnsupportedFormat: the pack has a newer format
    """
    key = layout.pack_key(address)
    try:
        return unreadable.attempt(
            repo.storage, 'pack', key, lambda: _load(repo, address, key)
        )
    except record.Malformed as error:
        raise errors.Corrupt('pack', key, str(error)) from error
    except errors.ObjectTruncated as error:
        raise errors.Corrupt('pack', key, 'it is too short') from error
    except errors.UnsupportedFormat as error:
        raise errors.UnsupportedFormat(f'{key}: {error}') from error


def scan(repo: opened.OpenRepository, address: location.PackAddress) -> Table:
    """The table that the records of a pack make, damaged ones left out.

    The bytes of the records aren't verified, and what a pack can't have, by
    its size or by its format, isn't looked at. Memory: the table, and 1 MiB.

    :raises ObjectMissing: there is no such pack
    :raises StorageUnavailable: the storage is away
    """
    rows = bytearray()
    try:
        window = Window(
            repo.storage, layout.pack_key(address), repo.config.pack_size
        )
    except errors.Corrupt:
        return np.frombuffer(rows, pack.TABLE)
    position = pack.HEADER_SIZE
    while True:
        try:
            header = record.unpack_header(
                window.read(position, record.HEADER_SIZE)
            )
            if (
                header.kind != address.kind
                or position + header.length > window.size
            ):
                raise record.Malformed('not in this pack')
        except (record.Malformed, errors.UnsupportedFormat):
            found = window.find(record.MAGIC, position + 1)
            if found is None:
                return np.frombuffer(rows, pack.TABLE)
            position = found
            continue
        rows += pack.pack_row(
            header.id,
            position,
            header.length,
            header.plain_length,
            header.kind,
            header.encoding,
        )
        position += header.length


def locators(
    address: location.PackAddress, table: Table
) -> Iterator[location.Locator]:
    """Of the rows of a pack's table; nobody says of which generation."""
    for record_id, offset, length in zip(
        table['id'],
        table['offset'].tolist(),
        table['length'].tolist(),
        strict=True,
    ):
        yield location.Locator(record_id.tobytes(), address, offset, length, 0)


def footer(
    repo: opened.OpenRepository,
    address: location.PackAddress,
    key: str,
    magic: bytes,
) -> tuple[Table, int]:
    """The table in the footer of an object, and where it begins.

    What it says isn't checked, but that it is of records of the pack's kind.

    :raises Malformed: header, footer or length is damaged
    :raises RepositoryError: see load
    """
    storage = repo.storage
    size = storage.size(key)
    smallest = pack.HEADER_SIZE + pack.TRAILER_SIZE
    if not smallest <= size <= repo.config.pack_size:
        raise record.Malformed(f'impossible length {size}')
    header = _read(storage, key, 0, pack.HEADER_SIZE)
    pack.check_header(header, address, repo.uuid_bytes, magic)
    trailer = _read(storage, key, size - pack.TRAILER_SIZE, pack.TRAILER_SIZE)
    count, begin, crc = pack.unpack_trailer(trailer)
    length = count * pack.ROW_SIZE
    if begin + length + pack.TRAILER_SIZE != size:
        raise record.Malformed('its trailer gives another length')
    data = _read(storage, key, begin, length)
    if zlib.crc32(data) != crc:
        raise record.Malformed('wrong checksum of the footer')
    table: Table = np.frombuffer(data, pack.TABLE)
    if (table['kind'] != address.kind).any():
        raise record.Malformed('its footer contradicts itself')
    return table, begin


def _load(
    repo: opened.OpenRepository, address: location.PackAddress, key: str
) -> Table:
    table, begin = footer(repo, address, key, pack.MAGIC)
    ends = table['offset'].astype(np.int64) + table['length']
    begins = np.concatenate([[pack.HEADER_SIZE], ends])
    if (begins[:-1] != table['offset']).any() or begins[-1] != begin:
        raise record.Malformed('its footer contradicts itself')
    return table


def _read(
    storage: base.Storage, key: str, offset: int, length: int
) -> bytearray:
    data = bytearray(length)
    storage.read_into(key, offset, memoryview(data))
    return data


class Window:
    """A moving view of an object, or of its beginning.

    What can't be read looks like zeros, which are no record.
    """

    def __init__(self, storage: base.Storage, key: str, most: int) -> None:
        self._storage = storage
        self._key = key
        self._begin = 0
        self._data = bytearray()
        size = unreadable.attempt(
            storage, 'pack', key, lambda: storage.size(key)
        )
        self.size = min(size, most)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes at an offset, fewer at the end of the object."""
        end = min(offset + length, self.size)
        if not self._begin <= offset <= end <= self._end:
            self._load(offset)
        start = offset - self._begin
        return bytes(self._data[start : start + length])

    def find(self, wanted: bytes, offset: int) -> int | None:
        """Where some bytes occur next."""
        while offset + len(wanted) <= self.size:
            if not self._begin <= offset < self._end:
                self._load(offset)
            found = self._data.find(wanted, offset - self._begin)
            if found >= 0:
                return self._begin + found
            if self._end >= self.size:
                return None
            # It may begin in this window and end in the next.
            self._load(max(self._end - len(wanted) + 1, offset))
            offset = self._begin
        return None

    @property
    def _end(self) -> int:
        return self._begin + len(self._data)

    def _load(self, offset: int) -> None:
        length = max(0, min(_WINDOW, self.size - offset))
        self._data = bytearray(length)
        self._begin = offset
        view = memoryview(self._data)
        try:
            self._storage.read_into(self._key, offset, view)
        except errors.ObjectUnreadable:
            for begin in range(0, length, _BLOCK):
                self._load_block(offset + begin, view[begin : begin + _BLOCK])
            unreadable.probe(self._storage)

    def _load_block(self, offset: int, view: memoryview) -> None:
        try:
            self._storage.read_into(self._key, offset, view)
        except errors.ObjectUnreadable:
            view[:] = bytes(len(view))
