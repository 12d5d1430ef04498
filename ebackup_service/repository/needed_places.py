# SPDX-License-Identifier: Apache-2.0
"""What pages need of data packs of which nobody else says what they hold."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import location
from ebackup_service.repository import page

PLACE = np.dtype([('offset', '<u4'), ('length', '<u4'), ('id', 'u1', (32,))])
PlaceTable = npt.NDArray[np.void]

# Records of all packs: 10 MiB.
_RECORDS = 256 * 1024


class NeededPlaces:
    """40 bytes a record that is needed."""

    def __init__(self, addresses: Iterable[location.PackAddress]) -> None:
        """:param addresses: if there is no room for all, the last are left"""
        self._found: dict[location.PackAddress, PlaceTable] = {
            address: np.zeros(0, PLACE) for address in addresses
        }
        self._count = 0

    def add(self, leaf: page.Page) -> None:
        """Note what a leaf refers to.

        A pack is left alone of which pages contradict each other.
        """
        for number, address in enumerate(leaf.packs):
            known = self._found.get(address)
            if known is None:
                continue
            entries = leaf.entries[
                leaf.present & (leaf.entries['pack'] == number)
            ]
            fresh = np.zeros(len(entries), PLACE)
            for name in ('offset', 'length', 'id'):
                fresh[name] = entries[name]
            merged = _merged(known, fresh)
            if merged is None:
                self._count -= len(known)
                del self._found[address]
                continue
            self._count += len(merged) - len(known)
            self._found[address] = merged
            while self._count > _RECORDS:
                _, last = self._found.popitem()
                self._count -= len(last)

    def packs(self) -> list[location.PackAddress]:
        """Those of which something is needed, and all of that is known."""
        return [
            address for address, table in self._found.items() if len(table)
        ]

    def of(self, address: location.PackAddress) -> PlaceTable:
        """What is needed of a pack, ascending by offset."""
        return self._found[address]


def _merged(known: PlaceTable, fresh: PlaceTable) -> PlaceTable | None:
    """Both, ascending by offset; None if they contradict each other."""
    if len(known):
        at = np.searchsorted(known['offset'], fresh['offset'])
        at = np.minimum(at, len(known) - 1)
        fresh = fresh[known[at] != fresh]
        if not len(fresh):
            return known
    both = np.concatenate([known, fresh])
    both = both[np.argsort(both['offset'], kind='stable')]
    same = both['offset'][1:] == both['offset'][:-1]
    if (both[1:][same] != both[:-1][same]).any():
        return None
    first = np.ones(len(both), np.bool_)
    first[1:] = ~same
    merged: PlaceTable = both[first]
    return merged
