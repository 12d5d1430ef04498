# SPDX-License-Identifier: Apache-2.0
"""Pages: nodes of an image's tree; section "Tree" of the format.

A page in memory has all 256 slots; on storage it has the present ones.
"""

import struct
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import record

FANOUT = 256

# id 32, pack 2, flags 2, offset 4, length 4, generation 4
ENTRY = np.dtype(
    [
        ('id', 'u1', (32,)),
        ('pack', '<u2'),
        ('flags', '<u2'),
        ('offset', '<u4'),
        ('length', '<u4'),
        ('generation', '<u4'),
    ]
)
_ENTRY = struct.Struct('<32sHHIII')
ENTRY_SIZE = 48

MAGIC = b'eBPg'
FORMAT = 1
# magic 4, format 1, level 1, flags 2, packs 2, entries 2, bases 2, zero 2,
# index 8, zero 8, presence 32
_HEADER = struct.Struct('<4sBBHHHH2sQ8s32s')
HEADER_SIZE = 64
# session 16, kind 1, zero 3, ordinal 4
_PACK = struct.Struct('<16sB3sI')
PACK_SIZE = 24

_MAX_PACKS = 512
_MAX_POSITION = 0xFFFF

Entries: TypeAlias = npt.NDArray[np.void]
Mask: TypeAlias = npt.NDArray[np.bool_]


class Page:
    """256 slots, each empty or with the place of a chunk or a page.

    Belongs to one thread at a time. An empty slot has length 0.

    :ivar level: 0 for leaves
    :ivar index: which of its level, from the beginning of the volume
    :ivar entries: array of 256 ENTRY, backed by writable memory
    :ivar packs: what the entries' pack numbers mean
    """

    __slots__ = ('_buffer', '_positions', 'entries', 'index', 'level', 'packs')

    def __init__(self, level: int, index: int) -> None:
        self.level = level
        self.index = index
        self._buffer = bytearray(FANOUT * ENTRY_SIZE)
        self.entries: Entries = np.frombuffer(self._buffer, ENTRY)
        self.packs: list[location.PackAddress] = []
        self._positions: dict[location.PackAddress, int] = {}

    @property
    def present(self) -> Mask:
        """Which slots are used: array of 256 bool."""
        mask: Mask = self.entries['length'] != 0
        return mask

    @property
    def ids(self) -> npt.NDArray[np.uint8]:
        """The ids, array of (256, 32); zeros in empty slots."""
        array: npt.NDArray[np.uint8] = self.entries['id']
        return array

    @property
    def empty(self) -> bool:
        return not self.entries['length'].any()

    def locator(self, slot: int) -> location.Locator:
        """What a slot holds.

        :raises LookupError: it is empty
        """
        found = self.get(slot)
        if found is None:
            raise LookupError(f'slot {slot} is empty')
        return found

    def get(self, slot: int) -> location.Locator | None:
        """What a slot holds, None if it is empty."""
        record_id, position, _, offset, length, generation = (
            _ENTRY.unpack_from(self._buffer, slot * ENTRY_SIZE)
        )
        if length == 0:
            return None
        return location.Locator(
            record_id, self.packs[position], offset, length, generation
        )

    def set(self, slot: int, where: location.Locator) -> None:
        """Fill a slot, or replace what it holds."""
        position = self._positions.get(where.pack)
        if position is None:
            position = self._add_pack(where.pack)
        _ENTRY.pack_into(
            self._buffer,
            slot * ENTRY_SIZE,
            where.id,
            position,
            0,
            where.offset,
            where.length,
            where.generation,
        )

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        begin = slot * ENTRY_SIZE
        self._buffer[begin : begin + ENTRY_SIZE] = bytes(ENTRY_SIZE)

    def forget_packs(self) -> None:
        """Forget those that no slot refers to any more."""
        fresh = Page(self.level, self.index)
        fresh.copy_slots(self, np.ones(FANOUT, dtype=np.bool_))
        self.entries[:] = fresh.entries
        self.packs = fresh.packs
        self._positions = fresh._positions

    def copy_slot(self, other: 'Page', slot: int) -> None:
        """Make one slot equal to another page's, empty or not."""
        where = other.get(slot)
        if where is None:
            self.clear(slot)
        else:
            self.set(slot, where)

    def copy_slots(self, other: 'Page', mask: Mask) -> None:
        """Make the slots that the mask names equal to another page's."""
        chosen = other.entries[mask]
        positions = np.zeros(len(other.packs) or 1, dtype='<u2')
        for position in np.unique(chosen['pack'][chosen['length'] != 0]):
            address = other.packs[position]
            known = self._positions.get(address)
            if known is None:
                known = self._add_pack(address)
            positions[position] = known
        chosen['pack'] = positions[chosen['pack']]
        chosen[chosen['length'] == 0] = np.zeros((), ENTRY)
        self.entries[mask] = chosen

    def same_ids(self, ids: npt.NDArray[np.uint8]) -> Mask:
        """Which slots hold these ids: array of 256 bool.

        :param ids: array of (256, 32), zeros where there is no chunk
        """
        equal: Mask = (self.ids == ids).all(axis=1)
        return equal

    def same_places(self, other: 'Page') -> Mask:
        """Which slots hold what the other page's do, in the same place.

        Array of 256 bool; slots that are empty in both are the same.
        """
        numbers = [self._positions.get(address, -1) for address in other.packs]
        packs = np.array(numbers or [-1], dtype=np.int32)
        equal: Mask = self.same_ids(other.ids)
        equal &= self.entries['offset'] == other.entries['offset']
        equal &= (packs[other.entries['pack']] == self.entries['pack']) | (
            ~self.present
        )
        return equal

    def encode(self) -> bytes:
        """The canonical bytes of a page that isn't empty.

        :raises ValueError: it is empty
        """
        present = self.present
        chosen = self.entries[present]
        if not len(chosen):
            raise ValueError('a page without entries is not stored')
        used, first = np.unique(chosen['pack'], return_index=True)
        order = used[np.argsort(first)]
        numbers = np.zeros(len(self.packs), dtype='<u2')
        numbers[order] = np.arange(len(order))
        chosen['pack'] = numbers[chosen['pack']]
        header = _HEADER.pack(
            MAGIC,
            FORMAT,
            self.level,
            0,
            len(order),
            len(chosen),
            0,
            bytes(2),
            self.index,
            bytes(8),
            np.packbits(present, bitorder='little').tobytes(),
        )
        packs = []
        for position in order:
            session, kind, ordinal = self.packs[position]
            packs.append(_PACK.pack(session, kind, bytes(3), ordinal))
        return b''.join([header, *packs, chosen.tobytes()])

    def _add_pack(self, address: location.PackAddress) -> int:
        position = len(self.packs)
        if position > _MAX_POSITION:
            raise ValueError('a page refers to no more than 65536 packs')
        self.packs.append(address)
        self._positions[address] = position
        return position


class Leaf(Page):
    """A page whose slots hold chunks."""

    __slots__ = ()

    def __init__(self, index: int) -> None:
        super().__init__(0, index)


def decode(
    plain: bytes | bytearray | memoryview, level: int, index: int
) -> Page:
    """The inverse of Page.encode.

    :param plain: bytes whose id has been verified
    :param level: expected level
    :param index: expected index
    :raises record.Malformed: not a valid page, or another than expected
    :raises UnsupportedFormat: a page that this version doesn't know
    """
    if not HEADER_SIZE <= len(plain) <= record.MAX_PAGE:
        raise record.Malformed('impossible length of the page')
    (
        magic,
        version,
        real_level,
        flags,
        pack_count,
        count,
        base_count,
        zeros,
        real_index,
        more_zeros,
        presence,
    ) = _HEADER.unpack_from(plain)
    if magic != MAGIC:
        raise record.Malformed('no page')
    if version != FORMAT or flags or base_count:
        raise errors.UnsupportedFormat(
            f'A page of format {version} with flags {flags:#06x} needs a '
            'newer version; upgrade'
        )
    if (real_level, real_index) != (level, index):
        raise record.Malformed(
            f'page {real_level}/{real_index} instead of {level}/{index}'
        )
    entries_begin = HEADER_SIZE + pack_count * PACK_SIZE
    if (
        not 0 < pack_count <= _MAX_PACKS
        or not 0 < count <= FANOUT
        or len(plain) != entries_begin + count * ENTRY_SIZE
        or any(zeros)
        or any(more_zeros)
    ):
        raise record.Malformed('impossible counts in the page')
    mask = np.unpackbits(
        np.frombuffer(presence, np.uint8), bitorder='little'
    ).astype(np.bool_)
    if int(mask.sum()) != count:
        raise record.Malformed('presence and number of entries differ')
    page = Leaf(index) if level == 0 else Page(level, index)
    kind = location.DATA if level == 0 else location.PAGE
    _decode_packs(page, kind, plain[HEADER_SIZE:entries_begin])
    entries = np.frombuffer(plain, ENTRY, count, entries_begin)
    _check_entries(entries, pack_count, kind)
    page.entries[mask] = entries
    return page


def _decode_packs(
    page: Page, kind: int, table: bytes | bytearray | memoryview
) -> None:
    for session, real_kind, zeros, ordinal in _PACK.iter_unpack(table):
        if real_kind != kind or any(zeros):
            raise record.Malformed('a pack of the wrong kind in the page')
        address = location.PackAddress(session, kind, ordinal)
        page._positions[address] = len(page.packs)
        page.packs.append(address)


def _check_entries(entries: Entries, pack_count: int, kind: int) -> None:
    lengths = entries['length']
    ends = entries['offset'].astype(np.uint64) + lengths
    if (
        int(entries['pack'].max()) >= pack_count
        or entries['flags'].any()
        or int(lengths.min()) <= record.HEADER_SIZE
        or int(lengths.max()) > record.max_length(kind)
        or int(ends.max()) > location.U32
    ):
        raise record.Malformed('an impossible entry in the page')
