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

    def packs(
        self, storage: base.Lists, check: Callable[[], None]
    ) -> Iterator[tuple[location.PackAddress, int]]:
        """Address and size, as they are listed, compacted or not.

        One that is just being compacted may come twice. Those of ``also`` that
        aren't listed come last, with no size.

        :param check: called for every pack that is listed
        """
        listed = pack_set.PackSet()
        for info in itertools.chain(
            storage.list(layout.PACKS), storage.list(layout.COMPACTED)
        ):
            check()
            address = layout.parse_pack(info.key)
            if address is None:
                address = layout.parse_compacted(info.key)
            if address is None or address.kind != location.DATA:
                continue
            asked = address in self.also
            if asked:
                listed.add(address)
            where = place(layout.pack_key(address))
            if asked or self.begin <= where < self.end:
                yield address, info.size
        for address in self.also:
            check()
            if address not in listed:
                yield address, 0
