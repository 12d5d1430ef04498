# SPDX-License-Identifier: Apache-2.0
"""Some numbers by pack, in as little memory as packs allow."""

from collections.abc import Iterator
import struct
from typing import Any

from ebackup_service.repository import location

# Ordinals of a session are mostly dense, and of most sessions few: a block has
# room from the first to the last of its ordinals that there are.
_BLOCK = 32
_KEY = struct.Struct('>16sBI')  # session, kind, ordinal // _BLOCK
_HEAD = 1  # which of its ordinals is the first


class PackRows:
    """A row of numbers for each pack, zeros at first.

    Beside the rows some 250 bytes a session and kind, 8 bytes a pack of which
    there are many in a row.
    """

    def __init__(self, form: struct.Struct) -> None:
        """:param form: of a row"""
        self._form = form
        self._blocks: dict[bytes, bytearray] = {}

    def place(self, address: location.PackAddress) -> tuple[bytearray, int]:
        """Bytes that have the row, and where; until another one is placed."""
        session, kind, ordinal = address
        number, at = divmod(ordinal, _BLOCK)
        key = _KEY.pack(session, kind, number)
        block = self._blocks.get(key)
        size = self._form.size
        if block is None:
            block = self._blocks[key] = bytearray(_HEAD + size)
            block[0] = at
        first = block[0]
        if at < first:
            block[_HEAD:_HEAD] = bytes((first - at) * size)
            block[0] = first = at
        begin = _HEAD + (at - first) * size
        if begin >= len(block):
            block.extend(bytes(begin + size - len(block)))
        return block, begin

    def get(self, address: location.PackAddress) -> tuple[Any, ...] | None:
        """A row; None: it was never placed, or it is zero, perhaps."""
        session, kind, ordinal = address
        number, at = divmod(ordinal, _BLOCK)
        block = self._blocks.get(_KEY.pack(session, kind, number))
        if block is None or at < block[0]:
            return None
        begin = _HEAD + (at - block[0]) * self._form.size
        if begin >= len(block):
            return None
        return self._form.unpack_from(block, begin)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All, in any order; zeros are among them."""
        for block in self._blocks.values():
            with memoryview(block) as view:
                yield from self._form.iter_unpack(view[_HEAD:])

    def __iter__(
        self,
    ) -> Iterator[tuple[location.PackAddress, tuple[Any, ...]]]:
        """All, by address; zeros are among them."""
        for key in sorted(self._blocks):
            session, kind, number = _KEY.unpack(key)
            block = self._blocks[key]
            ordinal = number * _BLOCK + block[0]
            for row in self._form.iter_unpack(bytes(block[_HEAD:])):
                yield location.PackAddress(session, kind, ordinal), row
                ordinal += 1
