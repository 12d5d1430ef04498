# SPDX-License-Identifier: Apache-2.0
"""Sets of packs, one bit each: a volume of 64 TiB may have millions."""

from collections.abc import Iterable, Iterator
import struct

from ebackup_service.repository import location

_BLOCK = 4096  # ordinals
_KEY = struct.Struct('>16sBI')  # session, kind, ordinal // _BLOCK


class PackSet:
    """A set of addresses; ordinals of a session are mostly dense.

    Beside the bits some 170 bytes a session and kind. Copies share what is in
    both.
    """

    def __init__(self) -> None:
        # numbers are as long as their greatest bit needs, and never change
        self._blocks: dict[bytes, int] = {}

    def add(self, address: location.PackAddress) -> None:
        session, kind, ordinal = address
        key = _KEY.pack(session, kind, ordinal // _BLOCK)
        self._blocks[key] = self._blocks.get(key, 0) | 1 << ordinal % _BLOCK

    def update(self, addresses: Iterable[location.PackAddress]) -> None:
        for address in addresses:
            self.add(address)

    def copy(self) -> 'PackSet':
        made = PackSet()
        made._blocks = self._blocks.copy()
        return made

    def subtract(self, other: 'PackSet') -> None:
        """Take all out that another set has."""
        for key, block in other._blocks.items():
            if left := self._blocks.get(key, 0) & ~block:
                self._blocks[key] = left
            else:
                self._blocks.pop(key, None)

    def discard_sessions(self, sessions: Iterable[bytes]) -> None:
        """Take out all packs of some sessions."""
        gone = set(sessions)
        for key in [key for key in self._blocks if key[:16] in gone]:
            del self._blocks[key]

    def __iter__(self) -> Iterator[location.PackAddress]:
        for key, left in self._blocks.items():
            session, kind, number = _KEY.unpack(key)
            while left:
                lowest = left & -left
                left ^= lowest
                yield location.PackAddress(
                    session, kind, number * _BLOCK + lowest.bit_length() - 1
                )

    def __contains__(self, address: location.PackAddress) -> bool:
        session, kind, ordinal = address
        key = _KEY.pack(session, kind, ordinal // _BLOCK)
        return bool(self._blocks.get(key, 0) >> ordinal % _BLOCK & 1)
