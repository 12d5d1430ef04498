# SPDX-License-Identifier: Apache-2.0
"""About how many bytes of data packs are still needed.

It is what compaction chooses by; what is really needed it finds out for the
packs that it has chosen.
"""

import struct

import numpy as np

from ebackup_service.repository import location
from ebackup_service.repository import pack_rows
from ebackup_service.repository import page

_ROW = struct.Struct('<Q')


class LiveBytes:
    """By data pack; 12 bytes a pack, and some 200 a session."""

    def __init__(self) -> None:
        self._rows = pack_rows.PackRows(_ROW)

    def add(self, leaf: page.Page, since: int) -> None:
        """Count the records that a tree has and the one beside it hasn't.

        Too few if that one isn't older, too many if one record stands for
        chunks of several leaves.

        :param leaf: of the tree
        :param since: the generation of the one beside it, -1: there is none
        """
        entries = leaf.entries
        chosen = leaf.present & (
            entries['generation'].astype(np.int64) > since
        )
        places = (
            entries['pack'][chosen].astype(np.uint64) << np.uint64(32)
        ) | entries['offset'][chosen]
        _, first = np.unique(places, return_index=True)
        lengths = np.bincount(
            entries['pack'][chosen][first],
            weights=entries['length'][chosen][first],
            minlength=len(leaf.packs),
        )
        for address, length in zip(leaf.packs, lengths.tolist(), strict=True):
            if length:
                block, at = self._rows.place(address)
                (known,) = _ROW.unpack_from(block, at)
                _ROW.pack_into(block, at, known + int(length))

    def of(self, address: location.PackAddress) -> int:
        """Bytes of a pack's records; 0 if none was met."""
        if address.kind != location.DATA:
            return 0
        row = self._rows.get(address)
        return 0 if row is None else int(row[0])
