# SPDX-License-Identifier: Apache-2.0
"""About how many bytes of data packs are still needed.

It is what compaction chooses by; what is really needed it finds out for the
packs that it has chosen.
"""

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import location
from ebackup_service.repository import page

_BLOCK = 64  # ordinals; those of a session are mostly dense


class LiveBytes:
    """By data pack; 8 bytes a pack."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[bytes, int], npt.NDArray[np.uint64]] = {}

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
                key = address.session, address.ordinal // _BLOCK
                block = self._blocks.get(key)
                if block is None:
                    block = self._blocks[key] = np.zeros(_BLOCK, np.uint64)
                block[address.ordinal % _BLOCK] += np.uint64(length)

    def of(self, address: location.PackAddress) -> int:
        """Bytes of a pack's records; 0 if none was met."""
        if address.kind != location.DATA:
            return 0
        block = self._blocks.get((address.session, address.ordinal // _BLOCK))
        return 0 if block is None else int(block[address.ordinal % _BLOCK])
