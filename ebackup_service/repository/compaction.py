# SPDX-License-Identifier: Apache-2.0
"""Copy what is needed of packs that are mostly garbage; section "Compaction".

Only a collection may do so, and only when it might delete the packs, were they
not needed: what it leaves out of a copy is lost as if it had deleted it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import dataclasses
import heapq

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import account
from ebackup_service.repository import compacted_pack
from ebackup_service.repository import copies
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import live_bytes
from ebackup_service.repository import location
from ebackup_service.repository import marking
from ebackup_service.repository import needed_records
from ebackup_service.repository import opened
from ebackup_service.repository import pack
from ebackup_service.repository import pack_set
from ebackup_service.repository import pack_table
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import survey
from ebackup_service.repository import tree
from ebackup_service.repository import unreadable
from ebackup_service.repository import walk

# Packs among which a collection chooses, each of which takes some 200 bytes.
_CHOICE = 32768
# Records of the packs that are looked at together: 10 MiB of memory.
_RECORDS = 2 * 1024 * 1024
# Bytes that are read at once, unless a single record is longer.
_READ_SIZE = 4 * 1024 * 1024
# Problems that are told.
_TOLD = 100
_UNREADABLE = (
    errors.Corrupt,
    errors.ObjectTruncated,
    errors.UnsupportedFormat,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What is worth it.

    :ivar share: packs of which less is needed are compacted, of 1
    :ivar copied: bytes of records that one collection copies, about
    :ivar pace: called with the bytes that are read next; may raise
    """

    share: float
    copied: int
    pace: Callable[[int], None]


class Compaction:
    """That of one collection, and of one thread.

    :ivar written: bytes of new objects
    :ivar problems: why packs were left as they are
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        limits: Limits,
        check: Callable[[], None],
        left: left_out.LeftOut,
    ) -> None:
        """Begin.

        :param check: called often; raises to stop
        :param left: is told of what can't be listed
        """
        self.written = 0
        self.problems: list[str] = []
        self._repo = repo
        self._limits = limits
        self._check = check
        self._left = left
        self._live = live_bytes.LiveBytes()
        self._choice = 0  # packs

    def visit(self, visited: page.Page, since: int) -> None:
        """Estimate; see LiveBytes.add. Every page of every chain."""
        if visited.level == 0:
            self._live.add(visited, since)

    def run(
        self,
        candidates: pack_set.PackSet,
        accounts: Sequence[account.Account],
        pins: Sequence[marking.Pin],
        advance: survey.Advance = survey.unwatched,
    ) -> Iterator[location.PackAddress]:
        """Write what is needed of packs that are worth it.

        The packs themselves stay: see settle().

        :param candidates: packs that were there before the catalog was asked,
            but for those of running sessions
        :param accounts: of all chains, with all trees that are needed
        :param pins: other trees that are needed
        :param advance: counts packs
        :returns: packs of which it has been written, one by one
        :raises RepositoryError: the storage's
        """
        records = reader.RecordReader(self._repo)
        done = 0
        for needed in self._chosen(candidates, accounts):
            try:
                self._find(needed, accounts, pins)
            except errors.Corrupt as error:
                # It could be read before: this collection has been given up,
                # and another one has removed it.
                self._tell(error)
                return
            for address in needed.packs():
                self._check()
                advance(done, self._choice)
                done += 1
                try:
                    if self._compact(address, needed.of(address), records):
                        yield address
                except errors.StorageFull as error:
                    self._tell(error)
                    return
                except _UNREADABLE as error:
                    self._tell(error)

    def _chosen(
        self,
        candidates: pack_set.PackSet,
        accounts: Sequence[account.Account],
    ) -> Iterator[needed_records.NeededRecords]:
        """Packs that are looked at together, mostly of one chain."""
        chains = {
            session: number
            for number, known in enumerate(accounts)
            for session in known.sessions()
        }
        chosen: dict[int, list[location.PackAddress]] = {}
        copied = 0
        for _, address, live in heapq.nlargest(
            _CHOICE, self._sparse(candidates)
        ):
            copied += live
            if copied > self._limits.copied:
                break
            chosen.setdefault(chains[address.session], []).append(address)
        self._choice = sum(map(len, chosen.values()))
        for addresses in chosen.values():
            needed = needed_records.NeededRecords()
            for address in addresses:
                self._check()
                table = self._table(address)
                if table is None or not len(table):
                    continue
                needed.watch(address, table['offset'].copy())
                if needed.count >= _RECORDS:
                    yield needed
                    needed = needed_records.NeededRecords()
            if needed.count:
                yield needed

    def _sparse(
        self, candidates: pack_set.PackSet
    ) -> Iterator[tuple[int, location.PackAddress, int]]:
        """(bytes to gain, pack, bytes that are needed), by estimate."""
        for address, size in self._sizes():
            live = self._live.of(address)
            if (
                0 < live <= self._limits.share * size
                and size <= pack.DEFAULT_SIZE
                and address in candidates
            ):
                yield size - live, address, live

    def _sizes(self) -> Iterator[tuple[location.PackAddress, int]]:
        """Packs, with the sizes of what is left of them."""
        compacted: dict[location.PackAddress, tuple[str, int]] = {}
        for info in self._left.list(layout.COMPACTED):
            self._check()
            address = layout.parse_compacted(info.key)
            if address is not None:
                known = compacted.get(address, ('', 0))
                compacted[address] = max(known, (info.key, info.size))
        for info in self._left.list(layout.PACKS):
            self._check()
            address = layout.parse_pack(info.key)
            if address is not None and address not in compacted:
                yield address, info.size
        for address, (_, size) in compacted.items():
            yield address, size

    def _table(self, address: location.PackAddress) -> pack_table.Table | None:
        try:
            return copies.load(self._repo, address)
        except errors.ObjectMissing:
            # Another collection has been faster.
            return None
        except _UNREADABLE as error:
            self._tell(error)
            return None

    def _find(
        self,
        needed: needed_records.NeededRecords,
        accounts: Iterable[account.Account],
        pins: Sequence[marking.Pin],
    ) -> None:
        """Look at all trees that may need a record of the chosen packs."""
        walker = walk.Walker(self._repo)
        sessions = needed.sessions()
        seen: set[marking.Pin] = set()
        for known in accounts:
            trees = [marking.pinned(entry) for entry in known.entries]
            seen.update(trees)
            if known.sessions() & sessions:
                before: tree.Tree | None = None
                for pin in trees:
                    if pin[0] is not None:
                        found = tree.Tree(self._repo, *pin)
                        self._walk(walker.pages(found, before), needed)
                        before = found
        for pin in set(pins) - seen:
            found = tree.Tree(self._repo, *pin)
            self._walk(walker.pages(found, None), needed)

    def _walk(
        self,
        pages: Iterator[page.Page],
        needed: needed_records.NeededRecords,
    ) -> None:
        for visited in pages:
            self._check()
            if visited.level == 0:
                needed.add(visited)

    def _compact(
        self,
        address: location.PackAddress,
        offsets: npt.NDArray[np.uint32],
        records: reader.RecordReader,
    ) -> bool:
        table = self._table(address)
        if table is None:
            return False
        keys = copies.compacted_keys(self._repo.storage, address)
        wanted = table[np.isin(table['offset'], offsets)]
        if (
            not len(wanted)
            or len(wanted) != len(offsets)
            or compacted_pack.size(wanted)
            > self._limits.share * self._size(address, keys)
        ):
            # More is needed than it seemed; or less is there.
            return False
        data = list(self._read(address, wanted, records))
        _, size = copies.write(self._repo, address, wanted, data)
        self.written += size
        return True

    def _size(self, address: location.PackAddress, keys: list[str]) -> int:
        for key in (layout.pack_key(address), *keys):
            try:
                return self._repo.storage.size(key)
            except errors.ObjectMissing:
                continue
        return 0

    def _read(
        self,
        address: location.PackAddress,
        table: pack_table.Table,
        records: reader.RecordReader,
    ) -> Iterator[bytes]:
        """The records of some rows, as they are, each verified.

        :raises Corrupt: one can't be read
        """
        for run in _runs(pack_table.locators(address, table)):
            begin = run[0].offset
            length = run[-1].offset + run[-1].length - begin
            self._limits.pace(length)
            data = records.fetch(address, begin, length)
            for where in run:
                at = where.offset - begin
                one = data[at : at + where.length]
                records.decode(one, where)
                yield bytes(one)

    def _tell(self, error: errors.RepositoryError) -> None:
        """Note why a pack is left alone."""
        if len(self.problems) < _TOLD:
            self.problems.append(str(error))


def settle(repo: opened.OpenRepository, address: location.PackAddress) -> int:
    """Let one object have the records of a pack; how many bytes that frees.

    The newest of those that compaction has left, if it is whole and durable.

    :raises Corrupt: what there is can't be listed
    :raises RepositoryError: the storage's
    """
    storage = repo.storage
    keys = copies.compacted_keys(storage, address)
    for position, key in enumerate(keys):
        data = _whole(repo, address, key)
        if data is None:
            continue
        with contextlib.suppress(errors.ObjectExists):
            # Who wrote it may have been stopped before it was durable.
            storage.create(key, [data])
        freed = 0
        for older in (*keys[position + 1 :], layout.pack_key(address)):
            try:
                size = storage.size(older)
            except errors.ObjectMissing:
                continue
            storage.delete(older)
            freed += size
        return freed
    return 0


def _whole(
    repo: opened.OpenRepository, address: location.PackAddress, key: str
) -> bytes | None:
    """All bytes of an object of which every record was verified.

    None: it is damaged, or gone.
    """
    try:
        found = compacted_pack.load(repo, address, key)
        data = unreadable.attempt(
            repo.storage,
            'compacted pack',
            key,
            lambda: repo.storage.read(key, fresh=True),
        )
        if compacted_pack.digest([data]) != layout.compacted_name(key)[1]:
            return None
        records = reader.RecordReader(repo)
        for where, begin in zip(
            pack_table.locators(address, found.table),
            found.begins.tolist(),
            strict=True,
        ):
            one = memoryview(data)[begin : begin + where.length]
            records.decode(one, where)
    except (
        errors.Corrupt,
        errors.ObjectMissing,
        errors.ObjectTruncated,
        errors.UnsupportedFormat,
    ):
        return None
    return data


def _runs(
    records: Iterable[location.Locator],
) -> Iterator[list[location.Locator]]:
    """Neighbours that are read at once."""
    run: list[location.Locator] = []
    for where in records:
        if run and (
            where.offset != run[-1].offset + run[-1].length
            or where.offset + where.length - run[0].offset > _READ_SIZE
        ):
            yield run
            run = []
        run.append(where)
    if run:
        yield run
