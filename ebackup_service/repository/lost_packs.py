# SPDX-License-Identifier: Apache-2.0
"""Write packs anew of which nobody says what they had; section "Repair".

A pack is gone, or its header or footer is damaged, or more of its records are
than are told. What is needed of it the pages say. What else it had is left
out, and lost with it: so all that a collection has to know, before it
compacts, has to be known here, and there is no more to the argument.
"""

from collections.abc import Callable, Iterable, Iterator
import random

import numpy as np

from ebackup_service.repository import compacted_pack
from ebackup_service.repository import copies
from ebackup_service.repository import elsewhere
from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import liveness
from ebackup_service.repository import location
from ebackup_service.repository import marking
from ebackup_service.repository import needed_places
from ebackup_service.repository import opened
from ebackup_service.repository import pack
from ebackup_service.repository import page
from ebackup_service.repository import record
from ebackup_service.repository import survey
from ebackup_service.repository import tree
from ebackup_service.repository import walk

# Records that one check looks for elsewhere, each of which takes a KiB.
_WANTED = 16384

# Asks the catalog; see collector.collect.
Ask = Callable[[list[str]], liveness.Live]


class LostPacks:
    """What is needed of lost packs, at one instant; belongs to one thread.

    :ivar wanted: ids of records that can't be read in their places
    """

    def __init__(
        self, repo: opened.OpenRepository, check: Callable[[], None]
    ) -> None:
        """:param check: called often; raises to stop"""
        self.wanted: set[bytes] = set()
        self._repo = repo
        self._check = check
        self._needed = needed_places.NeededPlaces([])
        # What packs lack that may be written, if it is found.
        self._lacking: dict[location.PackAddress, set[bytes]] = {}
        # Images that are passed over, of which there is a root or a marker.
        self._deleted: set[str] = set()

    def look(
        self, addresses: Iterable[location.PackAddress], ask: Ask
    ) -> None:
        """Find out what is needed of packs.

        More than a collection takes for needed: what the catalog calls dead,
        too, and roots without a marker, since nothing removes them before.

        :param addresses: of data packs that were found before
        :raises Corrupt: it isn't known, since a root or page can't be read
        :raises RepositoryError: the storage's
        """
        storage = self._repo.storage
        # The steps, and why there have to be two listings, are in the format:
        # "Packs that are lost".
        found = survey.survey(storage, self._check)
        trees = {i: _tree(image) for i, image in found.items()}
        answer = ask(sorted(i for i, summary in trees.items() if summary))
        settled = {i.id for i in found.values() if i.marked or i.deleted}
        later = survey.survey(
            storage, self._check, settled, set(found) - settled
        )
        summaries = {
            summary
            for summary in (*trees.values(), *map(_tree, later.values()))
            if summary is not None
        }
        running = {*map(layout.session_bytes, answer.sessions)}
        chosen = [a for a in addresses if a.session not in running]
        # There may be room for some of them only: each gets its turn.
        random.shuffle(chosen)
        needed = needed_places.NeededPlaces(chosen)
        for visited in self._pages(summaries, answer.pins):
            self._check()
            if visited.level == 0:
                needed.add(visited)
        # Not before all is known: a part of it would be written as the whole.
        self._needed = needed
        self._deleted = {
            image.id
            for image in (*found.values(), *later.values())
            if image.deleted
        }

    def packs(self) -> list[location.PackAddress]:
        """Those of which something is needed, and all of that is known."""
        return self._needed.packs()

    def read(
        self,
        address: location.PackAddress,
        records: elsewhere.Records,
        gone: bool,
    ) -> None:
        """Find out what one of the packs lacks.

        :param gone: it need not be read
        :raises RepositoryError: the storage's
        """
        lacking = {
            where.id
            for where in self._places(address)
            if gone or records.read(where) is None
        }
        if len(self.wanted | lacking) <= _WANTED:
            self.wanted |= lacking
            self._lacking[address] = lacking

    def write(
        self,
        address: location.PackAddress,
        records: elsewhere.Records,
        check_owner: Callable[[], None],
    ) -> tuple[str, int] | None:
        """Write all that is needed of one of the packs.

        :param check_owner: raises if another service has taken the repository
        :returns: the key of the object, and how many of its records are from
            elsewhere; None if something can't be had
        :raises RepositoryError: the storage's
        """
        lacking = self._lacking.get(address)
        if lacking is None or not all(map(records.has, lacking)):
            return None
        table = np.zeros(len(self._needed.of(address)), pack.TABLE)
        for name in ('id', 'offset', 'length'):
            table[name] = self._needed.of(address)[name]
        if not self._fits(table):
            return None
        data = []
        others = 0
        for row, where in enumerate(self._places(address)):
            one = None if where.id in lacking else records.read(where)
            if one is None:
                one = records.elsewhere(where)
                others += 1
            if one is None:
                return None
            header = record.unpack_header(one)
            table['plain_length'][row] = header.plain_length
            table['kind'][row] = header.kind
            table['encoding'][row] = header.encoding
            data.append(one)
        # Without their tombstones, which may not be durable yet, they would
        # count, and need what is left out.
        while self._deleted:
            images.bury(self._repo.storage, next(iter(self._deleted)))
            self._deleted.pop()
        # What is left out may be needed by images of another service.
        check_owner()
        return copies.write(self._repo, address, table, data)[0], others

    def _fits(self, table: needed_places.PlaceTable) -> bool:
        """Whether it may be a compacted pack."""
        ends = table['offset'].astype(np.int64) + table['length']
        most = min(pack.DEFAULT_SIZE, self._repo.config.pack_size)
        return bool(
            (table['offset'] >= pack.HEADER_SIZE).all()
            and (ends[:-1] <= table['offset'][1:]).all()
            and (ends <= self._repo.config.pack_size).all()
            and compacted_pack.size(table) <= most
        )

    def _places(
        self, address: location.PackAddress
    ) -> Iterator[location.Locator]:
        for offset, length, record_id in self._needed.of(address):
            yield location.Locator(
                record_id.tobytes(), address, int(offset), int(length), 0
            )

    def _pages(
        self,
        summaries: Iterable[survey.Summary],
        pins: Iterable[marking.Pin],
    ) -> Iterator[page.Page]:
        """Of all trees, those that trees of a chain share once."""
        walker = walk.Walker(self._repo)
        before: tuple[survey.Summary, tree.Tree] | None = None
        seen: set[marking.Pin] = set()
        for summary in sorted(
            summaries, key=lambda s: (s.chain, s.generation)
        ):
            pin = summary.tree, summary.size, summary.chunk_size
            if summary.tree is None or pin in seen:
                continue
            seen.add(pin)
            found = tree.Tree(self._repo, *pin)
            old = None
            if before is not None and before[0].chain == summary.chain:
                old = before[1]
            yield from walker.pages(found, old)
            before = summary, found
        for pin in set(pins) - seen:
            yield from walker.pages(tree.Tree(self._repo, *pin), None)


def _tree(image: survey.Image) -> survey.Summary | None:
    """What an image's root says; None if it isn't there, or deleted.

    :raises Corrupt: it can't be read
    """
    if isinstance(image.found, errors.Corrupt):
        raise image.found
    return image.found
