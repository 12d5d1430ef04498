# SPDX-License-Identifier: Apache-2.0
"""Which records are read together.

A request costs a round trip; bytes in between cost bandwidth.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ebackup_service.repository import location
from ebackup_service.repository import page

# A run is no longer; a record always fits.
MAX_LENGTH = 8 * 1024 * 1024
# Bytes that are read for nothing rather than asking again: what a NAS on
# 10 Gbit/s delivers in a tenth of a millisecond.
MAX_GAP = 128 * 1024


class Run(NamedTuple):
    """Bytes of one pack, and the slots whose records they hold."""

    pack: location.PackAddress
    begin: int
    length: int
    slots: list[int]


def plan(
    source: page.Page, slots: Iterable[int] | None = None
) -> Iterator[Run]:
    """Runs that cover the records of some slots, each slot once.

    :param slots: which; all that aren't empty by default
    """
    present = source.present
    if slots is None:
        chosen = np.flatnonzero(present)
    else:
        wanted = np.unique(np.fromiter(slots, dtype=np.intp))
        chosen = wanted[present[wanted]]
    if not len(chosen):
        return
    entries = source.entries[chosen]
    packs = entries['pack'].astype(np.int64)
    begins = entries['offset'].astype(np.int64)
    ends = begins + entries['length']
    order = np.lexsort((begins, packs))
    chosen, packs = chosen[order], packs[order]
    begins, ends = begins[order], ends[order]

    first = 0
    reach = int(ends[0])
    for i in range(1, len(chosen) + 1):
        if i < len(chosen) and (
            packs[i] == packs[first]
            and begins[i] <= reach + MAX_GAP
            and max(reach, int(ends[i])) - begins[first] <= MAX_LENGTH
        ):
            reach = max(reach, int(ends[i]))
            continue
        begin = int(begins[first])
        yield Run(
            source.packs[packs[first]],
            begin,
            reach - begin,
            chosen[first:i].tolist(),
        )
        if i < len(chosen):
            first = i
            reach = int(ends[i])
