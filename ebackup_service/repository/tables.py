# SPDX-License-Identifier: Apache-2.0
"""The tables of the packs that were needed last."""

import collections
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import copies
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack_set
from ebackup_service.repository import pack_table
from ebackup_service.repository import page
from ebackup_service.repository import unreadable

# Bytes of tables that are kept, beside the one that was asked for last. With
# 128 KiB chunks, that of a 16 MiB pack takes 6 to 25 KiB, and more where they
# compress well.
_CACHED = 8 * 1024 * 1024
# Bytes that one takes besides; of a pack that is missing there is no more.
_ENTRY = 1024


class PackTables:
    """Loads tables, by scanning where a footer is damaged.

    Belongs to one thread. Every damaged pack is told once.
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        damaged: Callable[[errors.Corrupt], None],
    ) -> None:
        self._repo = repo
        self._damaged = damaged
        self._told = pack_set.PackSet()
        self._bytes = 0
        self._tables: collections.OrderedDict[
            location.PackAddress, pack_table.Table | None
        ] = collections.OrderedDict()

    def get(self, address: location.PackAddress) -> pack_table.Table | None:
        """The table of a pack, None if there is no such pack."""
        if address in self._tables:
            self._tables.move_to_end(address)
            return self._tables[address]
        table = self._load(address)
        while self._tables and self._bytes > _CACHED:
            _, forgotten = self._tables.popitem(last=False)
            self._bytes -= _size(forgotten)
        self._tables[address] = table
        self._bytes += _size(table)
        return table

    def _load(self, address: location.PackAddress) -> pack_table.Table | None:
        try:
            return copies.load(self._repo, address)
        except errors.ObjectMissing:
            unreadable.probe(self._repo.storage)
            self._tell(
                address,
                errors.Corrupt(
                    'pack', layout.pack_key(address), 'it is missing'
                ),
            )
            return None
        except errors.Corrupt as error:
            self._tell(address, error)
            return copies.scan(self._repo, address)

    def _tell(
        self, address: location.PackAddress, error: errors.Corrupt
    ) -> None:
        if address not in self._told:
            self._told.add(address)
            self._damaged(error)


def _size(table: pack_table.Table | None) -> int:
    return _ENTRY + (0 if table is None else table.nbytes)


def find(
    table: pack_table.Table, entries: page.Entries
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint32]]:
    """Which entries of a page name a record that a table has.

    And the lengths of these records' plain bytes.
    """
    if not len(table):
        return (
            np.zeros(len(entries), dtype=np.bool_),
            np.zeros(len(entries), dtype=np.uint32),
        )
    rows = np.searchsorted(table['offset'], entries['offset'])
    found = table[np.minimum(rows, len(table) - 1)]
    same: npt.NDArray[np.bool_] = (
        (found['offset'] == entries['offset'])
        & (found['length'] == entries['length'])
        & (found['id'] == entries['id']).all(axis=1)
    )
    return same, found['plain_length']
