# SPDX-License-Identifier: Apache-2.0
"""Read whole packs, and verify each record against its id."""

from collections.abc import Callable, Iterator

from ebackup_service.repository import copies
from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack_table
from ebackup_service.repository import reader
from ebackup_service.repository import unreadable

# Bytes read at a time, unless a single record is longer.
READ_SIZE = 4 << 20


class PackVerifier:
    """Verifies data packs. Belongs to one thread."""

    def __init__(
        self, repo: opened.OpenRepository, found: damage.DamagedRecords
    ) -> None:
        self._repo = repo
        self._found = found
        self._reader = reader.RecordReader(repo)

    def verify(
        self, address: location.PackAddress, pace: Callable[[int], None]
    ) -> int:
        """Read a pack; how many bytes of records were read.

        What is wrong with a pack's header or footer, and what its footer
        doesn't have, is left to who compares it with the pages. So is a pack
        that is gone, which may have been garbage. Both are noted as lost.

        :param pace: called with the bytes that are read next; may raise
        :raises RepositoryError: the storage's
        """
        try:
            table = self._table(address)
        except errors.ObjectMissing:
            unreadable.probe(self._repo.storage)
            self._found.lose(address, gone=True)
            return 0
        done = 0
        for run in _runs(table):
            length = sum(where.length for where in run)
            pace(length)
            self._records(run, length)
            done += length
        return done

    def give_back(self) -> None:
        """Take no memory until the next call."""
        self._reader.give_back()

    def _table(self, address: location.PackAddress) -> list[location.Locator]:
        try:
            table = copies.load(self._repo, address)
        except errors.Corrupt:
            table = copies.scan(self._repo, address)
            self._found.lose(address, gone=False)
        return [*pack_table.locators(address, table)]

    def _records(self, run: list[location.Locator], length: int) -> None:
        begin = run[0].offset
        try:
            fetched = self._reader.fetch(run[0].pack, begin, length)
        except errors.Corrupt as error:
            if len(run) == 1:
                self._found.add(run[0], error)
                return
            # A bad sector, say, that only one of them has.
            for where in run:
                self._records([where], where.length)
            return
        for where in run:
            at = where.offset - begin
            try:
                self._reader.decode(fetched[at : at + where.length], where)
            except errors.Corrupt as error:
                self._found.add(where, error)


def _runs(
    table: list[location.Locator],
) -> Iterator[list[location.Locator]]:
    """Neighbours that are read at once."""
    run: list[location.Locator] = []
    length = 0
    for where in table:
        if run and (
            length + where.length > READ_SIZE
            or where.offset != run[0].offset + length
        ):
            yield run
            run, length = [], 0
        run.append(where)
        length += where.length
    if run:
        yield run
