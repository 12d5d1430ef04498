# SPDX-License-Identifier: Apache-2.0
"""Records that were read and are not what was written."""

import threading
from typing import NamedTuple

import numpy as np

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import page

# Records that are told one by one; of more, only where they are is kept.
TOLD = 1000

Place = tuple[location.PackAddress, int]


class Told(NamedTuple):
    """A damaged record, with what is wrong with it."""

    id: bytes
    error: errors.Corrupt


class DamagedRecords:
    """For any number of threads: ``_lock`` protects what is found.

    Four bytes a record, and more for the first 1000.

    :ivar told: those by their places, in the order in which they were found
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offsets: dict[location.PackAddress, list[int]] = {}
        self.told: dict[Place, Told] = {}

    def __len__(self) -> int:
        return sum(map(len, self._offsets.values()))

    def add(self, where: location.Locator, error: errors.Corrupt) -> None:
        """Note a record, once: a pack of several objects is read again."""
        with self._lock:
            offsets = self._offsets.setdefault(where.pack, [])
            if where.offset in offsets:
                return
            offsets.append(where.offset)
            if len(self.told) < TOLD:
                self.told[where.pack, where.offset] = Told(where.id, error)

    def forget(self, address: location.PackAddress) -> int:
        """A pack is whole again; how many records that are."""
        with self._lock:
            for place in [p for p in self.told if p[0] == address]:
                del self.told[place]
            return len(self._offsets.pop(address, ()))

    def of(self, source: page.Page) -> page.Mask:
        """Which slots of a page hold one of these records."""
        mask = np.zeros(page.FANOUT, dtype=np.bool_)
        for number, address in enumerate(source.packs):
            offsets = self._offsets.get(address)
            if offsets is not None:
                mask |= (
                    source.present
                    & (source.entries['pack'] == number)
                    & np.isin(source.entries['offset'], offsets)
                )
        return mask
