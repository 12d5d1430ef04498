# SPDX-License-Identifier: Apache-2.0
"""Which packs a verification reads.

Packs lie on a ring, at places that a hash of their names gives them. A sample
is an arc of it: samples that follow each other meet every pack in turn, and
what was read is remembered by one number.
"""

from collections.abc import Callable, Iterator
import dataclasses
import itertools

import blake3

from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import pack_set
from ebackup_service.repository.storage import base

RING = 1 << 32


def place(key: str) -> int:
    """Where on the ring the pack of a key lies."""
    return int.from_bytes(blake3.blake3(key.encode()).digest(4), 'big')


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """Data packs from the place ``begin`` to ``end`` - 1, and ``also``."""

    begin: int = 0
    end: int = RING
    also: pack_set.PackSet = dataclasses.field(
        default_factory=pack_set.PackSet
    )

    def sizes(
        self, storage: base.Lists, check: Callable[[], None]
    ) -> tuple[int, int]:
        """Bytes of the packs that packs() lists, and of all page packs."""
        data = pages = 0
        for address, size in _listed(storage, check):
            if address.kind == location.PAGE:
                pages += size
            elif self._has(address):
                data += size
        return data, pages

    def packs(
        self, storage: base.Lists, check: Callable[[], None]
    ) -> Iterator[tuple[location.PackAddress, int]]:
        """Address and size, as they are listed, compacted or not.

        One that is just being compacted may come twice. Those of ``also`` that
        aren't listed come last, with no size.

        :param check: called for every pack that is listed
        """
        listed = pack_set.PackSet()
        for address, size in _listed(storage, check):
            if address.kind == location.DATA and self._has(address):
                yield address, size
                if address in self.also:
                    listed.add(address)
        for address in self.also:
            check()
            if address not in listed:
                yield address, 0

    def _has(self, address: location.PackAddress) -> bool:
        where = place(layout.pack_key(address))
        return self.begin <= where < self.end or address in self.also


def _listed(
    storage: base.Lists, check: Callable[[], None]
) -> Iterator[tuple[location.PackAddress, int]]:
    """All packs, compacted or not."""
    for info in itertools.chain(
        storage.list(layout.PACKS), storage.list(layout.COMPACTED)
    ):
        check()
        address = layout.parse_pack(info.key)
        if address is None:
            address = layout.parse_compacted(info.key)
        if address is not None:
            yield address, info.size
