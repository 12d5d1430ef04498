# SPDX-License-Identifier: Apache-2.0
"""Which records of some data packs are needed."""

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import location
from ebackup_service.repository import page


class NeededRecords:
    """Five bytes a record of the packs.

    :ivar count: records of all packs, needed or not
    """

    def __init__(self) -> None:
        self.count = 0
        self._offsets: dict[location.PackAddress, npt.NDArray[np.uint32]] = {}
        self._needed: dict[location.PackAddress, npt.NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        """How many packs there are."""
        return len(self._offsets)

    def watch(
        self, address: location.PackAddress, offsets: npt.NDArray[np.uint32]
    ) -> None:
        """Begin to note what is needed of a pack.

        :param offsets: of its records, ascending; one at least
        """
        self._offsets[address] = offsets
        self._needed[address] = np.zeros(len(offsets), np.bool_)
        self.count += len(offsets)

    def sessions(self) -> set[bytes]:
        """Whose packs these are."""
        return {address.session for address in self._offsets}

    def add(self, leaf: page.Page) -> None:
        """Note what a leaf refers to.

        A pack that lacks a record which the leaf refers to is damaged, and
        isn't watched any longer.
        """
        for number, address in enumerate(leaf.packs):
            offsets = self._offsets.get(address)
            if offsets is None:
                continue
            wanted = leaf.entries['offset'][
                leaf.present & (leaf.entries['pack'] == number)
            ]
            rows = np.searchsorted(offsets, wanted)
            rows = np.minimum(rows, len(offsets) - 1)
            if (offsets[rows] == wanted).all():
                self._needed[address][rows] = True
            else:
                del self._offsets[address], self._needed[address]

    def packs(self) -> list[location.PackAddress]:
        return list(self._offsets)

    def of(self, address: location.PackAddress) -> npt.NDArray[np.uint32]:
        """Offsets of the records of a pack that are needed."""
        return self._offsets[address][self._needed[address]]
