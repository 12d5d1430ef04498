# SPDX-License-Identifier: Apache-2.0
"""Records that were read and are not what was written."""

import array
import bisect
import collections
import threading
from typing import NamedTuple

import numpy as np

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import page

# Records that are told one by one; of more, only where they are is kept.
TOLD = 1000
# Packs that are lost of which that is kept, with some 200 bytes each.
_LOST = 16384

Place = tuple[location.PackAddress, int]


class Told(NamedTuple):
    """A damaged record, with what is wrong with it."""

    id: bytes
    error: errors.Corrupt


class DamagedRecords:
    """For any number of threads: ``_lock`` protects what is found.

    Some 4 bytes a record, and more for the first 1000.

    :ivar told: those by their places, in the order in which they were found
    :ivar lost: packs of which it isn't known what they had: gone, or with a
        damaged header or footer; whether they are gone
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Ascending, as they are mostly found.
        self._offsets: dict[location.PackAddress, array.array[int]] = {}
        self.told: dict[Place, Told] = {}
        self.lost: dict[location.PackAddress, bool] = {}

    def __len__(self) -> int:
        return sum(map(len, self._offsets.values()))

    def add(self, where: location.Locator, error: errors.Corrupt) -> None:
        """Note a record, once: a pack of several objects is read again."""
        with self._lock:
            offsets = self._offsets.setdefault(where.pack, array.array('I'))
            at = bisect.bisect_left(offsets, where.offset)
            if offsets[at : at + 1] == array.array('I', [where.offset]):
                return
            offsets.insert(at, where.offset)
            if len(self.told) < TOLD:
                self.told[where.pack, where.offset] = Told(where.id, error)

    def lose(self, address: location.PackAddress, gone: bool) -> None:
        """Note a pack of which it isn't known what it had."""
        with self._lock:
            if len(self.lost) < _LOST:
                self.lost[address] = gone

    def find(self, address: location.PackAddress) -> bool:
        """What a pack has is known again; whether it was lost."""
        with self._lock:
            return self.lost.pop(address, None) is not None

    def untold(self) -> list[location.PackAddress]:
        """Packs of which some damaged records are not told."""
        told = collections.Counter(address for address, _ in self.told)
        return [
            address
            for address, offsets in self._offsets.items()
            if len(offsets) > told[address]
        ]

    def has(self, address: location.PackAddress) -> bool:
        """Whether a pack is lost, or has such records."""
        with self._lock:
            return address in self.lost or address in self._offsets

    def forget(self, address: location.PackAddress) -> int:
        """A pack is whole again; how many records that are."""
        with self._lock:
            for place in [p for p in self.told if p[0] == address]:
                del self.told[place]
            self.lost.pop(address, None)
            return len(self._offsets.pop(address, ()))

    def of(self, source: page.Page) -> page.Mask:
        """Which slots of a page hold one of these records."""
        mask = np.zeros(page.FANOUT, dtype=np.bool_)
        for number, address in enumerate(source.packs):
            offsets = self._offsets.get(address)
            if offsets is not None:
                known = np.array(offsets)
                wanted = source.entries['offset']
                at = np.searchsorted(known, wanted)
                mask |= (
                    source.present
                    & (source.entries['pack'] == number)
                    & (known[np.minimum(at, len(known) - 1)] == wanted)
                )
        return mask
