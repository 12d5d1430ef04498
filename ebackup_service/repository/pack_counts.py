# SPDX-License-Identifier: Apache-2.0
"""How often packs are referred to; section "Accounts" of the format."""

import array
from collections.abc import Iterable, Iterator, Mapping
import itertools
import struct
from typing import Any
import uuid

from ebackup_service.repository import fields
from ebackup_service.repository import location
from ebackup_service.repository import pack_rows

_ROW = struct.Struct('<qQ')  # count, sum
_MODULUS = 2**64
# Nobody counts so far, and more can be counted without looking.
_MOST = 2**62
_GROUP = struct.Struct('<16sBI')  # session, kind, number of packs
_PACKED = 4 + 8 + 8  # ordinal, count, sum


class PackCounts:
    """By pack, how many references there are, and the sum of their weights.

    24 bytes a pack, and some 250 a session and kind. Two that are equal count
    the same.
    """

    def __init__(self) -> None:
        self._rows = pack_rows.PackRows(_ROW)

    def add(
        self,
        addresses: Iterable[location.PackAddress],
        weight: int,
        times: int = 1,
    ) -> None:
        """Count a reference to each of some packs.

        :param weight: of the reference, a u64
        :param times: how many; fewer than none: they are gone
        """
        change = weight * times
        for address in addresses:
            block, at = self._rows.place(address)
            count, total = _ROW.unpack_from(block, at)
            total = (total + change) % _MODULUS
            _ROW.pack_into(block, at, count + times, total)

    @property
    def plausible(self) -> bool:
        """Whether no pack has references without weight, or the reverse.

        And none fewer than no references.
        """
        return not any(
            count < 0 or (count == 0) != (total == 0)
            for count, total in self._rows.rows()
        )

    def __iter__(self) -> Iterator[location.PackAddress]:
        """All packs that are referred to, in order."""
        for address, (count, _) in self._rows:
            if count:
                yield address

    def __contains__(self, address: location.PackAddress) -> bool:
        row = self._rows.get(address)
        return row is not None and row[0] != 0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PackCounts) and self.packed() == other.packed()
        )

    __hash__ = None  # type: ignore[assignment]

    def packed(self) -> bytes:
        """The same counts as bytes, in one way only.

        20 bytes a pack, and 21 a session and kind; see sessions().
        """
        made = bytearray()
        for session, kind, ordinals, counts, sums in self._groups():
            made += _GROUP.pack(session, kind, len(ordinals))
            for column in (ordinals, counts, sums):
                made += column.tobytes()
        return bytes(made)

    @classmethod
    def unpacked(cls, packed: bytes) -> 'PackCounts':
        """The inverse of packed()."""
        made = cls()
        for session, kind, count, at in _packed_groups(packed):
            columns = _columns()
            for column in columns:
                end = at + count * column.itemsize
                column.frombytes(packed[at:end])
                at = end
            for ordinal, *row in zip(*columns, strict=True):
                address = location.PackAddress(session, kind, ordinal)
                _ROW.pack_into(*made._rows.place(address), *row)
        return made

    def to_json(self) -> list[dict[str, Any]]:
        """One object a session and kind, in a fixed order."""
        return [
            {
                'session': str(uuid.UUID(bytes=session)),
                'kind': kind,
                'ordinals': ordinals.tolist(),
                'counts': counts.tolist(),
                'sums': [f'{total:016x}' for total in sums],
            }
            for session, kind, ordinals, counts, sums in self._groups()
        ]

    @classmethod
    def from_json(cls, content: Iterable[Mapping[str, Any]]) -> 'PackCounts':
        """The inverse of to_json.

        :raises ValueError: something is missing, or not what it should be
        """
        made = cls()
        for entry in content:
            session = uuid.UUID(fields.uuid_text(entry, 'session')).bytes
            kind = fields.number(entry, 'kind')
            if kind not in location.KINDS:
                raise ValueError(f'unknown kind {kind}')
            for ordinal, count, weights in zip(
                fields.numbers(entry, 'ordinals', location.U32),
                fields.numbers(entry, 'counts', _MOST),
                fields.texts(entry, 'sums'),
                strict=True,
            ):
                address = location.PackAddress(session, kind, ordinal)
                block, at = made._rows.place(address)
                if _ROW.unpack_from(block, at) != (0, 0):
                    raise ValueError(f'pack {ordinal} is counted twice')
                _ROW.pack_into(block, at, count, _weight(weights))
        return made

    def _groups(self) -> Iterator[tuple[Any, ...]]:
        """Session, kind, and of its packs ordinals, counts and sums."""
        # What is not plausible stays so.
        referred = (entry for entry in self._rows if any(entry[1]))
        for (session, kind), packs in itertools.groupby(
            referred, lambda entry: entry[0][:2]
        ):
            ordinals, counts, sums = _columns()
            for address, (count, total) in packs:
                ordinals.append(address.ordinal)
                counts.append(count)
                sums.append(total)
            yield session, kind, ordinals, counts, sums


def _columns() -> 'tuple[array.array[int], ...]':
    """None yet of ordinals, counts and sums: 4, 8 and 8 bytes each."""
    return array.array('I'), array.array('q'), array.array('Q')


def sessions(packed: bytes) -> set[bytes]:
    """Whose packs those are that are referred to."""
    return {session for session, _, _, _ in _packed_groups(packed)}


def _packed_groups(packed: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Session, kind, number of packs, and where they are."""
    at = 0
    while at < len(packed):
        session, kind, count = _GROUP.unpack_from(packed, at)
        at += _GROUP.size
        yield session, kind, count, at
        at += count * _PACKED


def _weight(text: str) -> int:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b''
    if len(text) != 16 or len(data) != 8:
        raise ValueError(f'not a sum of weights: {text[:20]!r}')
    return int.from_bytes(data)
