# SPDX-License-Identifier: Apache-2.0
"""Sets of packs, one bit each: a volume of 64 TiB may have millions."""

from collections.abc import Iterable, Iterator

from ebackup_service.repository import location

_BLOCK = 4096  # ordinals
_BYTES = _BLOCK // 8


class PackSet:
    """A set of addresses; ordinals of a session are mostly dense."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[bytes, int, int], bytearray] = {}

    def add(self, address: location.PackAddress) -> None:
        session, kind, ordinal = address
        key = (session, kind, ordinal // _BLOCK)
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = bytearray(_BYTES)
        block[ordinal % _BLOCK // 8] |= 1 << ordinal % 8

    def update(self, addresses: Iterable[location.PackAddress]) -> None:
        for address in addresses:
            self.add(address)

    def copy(self) -> 'PackSet':
        made = PackSet()
        made._blocks = {k: bytearray(b) for k, b in self._blocks.items()}
        return made

    def subtract(self, other: 'PackSet') -> None:
        """Take all out that another set has."""
        for key, block in other._blocks.items():
            own = self._blocks.get(key)
            if own is None:
                continue
            left = int.from_bytes(own) & ~int.from_bytes(block)
            if left:
                own[:] = left.to_bytes(_BYTES)
            else:
                del self._blocks[key]

    def discard_sessions(self, sessions: Iterable[bytes]) -> None:
        """Take out all packs of some sessions."""
        gone = set(sessions)
        for key in [key for key in self._blocks if key[0] in gone]:
            del self._blocks[key]

    def __iter__(self) -> Iterator[location.PackAddress]:
        for (session, kind, number), block in self._blocks.items():
            left = int.from_bytes(block, 'little')
            while left:
                lowest = left & -left
                left ^= lowest
                yield location.PackAddress(
                    session, kind, number * _BLOCK + lowest.bit_length() - 1
                )

    def __contains__(self, address: location.PackAddress) -> bool:
        session, kind, ordinal = address
        block = self._blocks.get((session, kind, ordinal // _BLOCK))
        return block is not None and bool(
            block[ordinal % _BLOCK // 8] & (1 << ordinal % 8)
        )
