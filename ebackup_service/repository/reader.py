# SPDX-License-Identifier: Apache-2.0
"""Records out of packs, every one verified against its id."""

from collections.abc import Callable, Iterable, Iterator
import mmap
from typing import TypeAlias

from ebackup_service.repository import codec
from ebackup_service.repository import copies
from ebackup_service.repository import errors
from ebackup_service.repository import ids
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import memory
from ebackup_service.repository import opened
from ebackup_service.repository import page
from ebackup_service.repository import record
from ebackup_service.repository import runs
from ebackup_service.repository.storage import base
from ebackup_service.repository import unreadable

# Where the bytes of a slot are to be.
Room: TypeAlias = Callable[[int], memoryview]

_NAMES = {location.DATA: 'chunk', location.PAGE: 'page'}


class RecordReader:
    """Reads records of both kinds. Belongs to one thread at a time.

    Its buffer grows to hold the longest run that is read, at most
    runs.MAX_LENGTH.
    """

    def __init__(self, repo: opened.OpenRepository) -> None:
        self._storage = repo.storage
        self._packs = copies.PackReader(repo)
        self._hashers: dict[int, ids.Hasher] = {
            location.DATA: repo.hasher(),
            location.PAGE: repo.page_hasher(),
        }
        self._decoder = codec.Decoder()
        self._buffer: bytearray | mmap.mmap = bytearray()

    def read(self, where: location.Locator) -> base.Buffer:
        """The plain bytes of a record; valid until the next call.

        :raises Corrupt: they can't be had, for ever
        :raises RepositoryError: the storage's
        """
        _check(where)
        return self.decode(
            self.fetch(where.pack, where.offset, where.length), where
        )

    def read_slots(
        self,
        source: page.Page,
        slots: Iterable[int] | None = None,
        room: Room | None = None,
    ) -> Iterator[tuple[int, base.Buffer]]:
        """(slot, plain bytes) of a page's slots, neighbours read at once.

        In the order of their places, not of the slots. The bytes are valid
        until the next are asked for.

        :param slots: which; all that aren't empty by default. Empty ones are
            left out
        :param room: says where the bytes of a slot are to be, whose length
            they must have. Those of the slot before must still be where they
            were put when it returns: they are copied from there if this one
            has the same. Anywhere by default
        :raises Corrupt: a record can't be had, for ever, or has another length
        :raises RepositoryError: the storage's
        """
        for run in runs.plan(source, slots):
            fetched = self.fetch(run.pack, run.begin, run.length)
            yield from self._decode_run(source, run, fetched, room)

    def give_back(self) -> None:
        """Take no memory until the next call."""
        self._buffer = bytearray()

    def decode(self, data: memoryview, where: location.Locator) -> base.Buffer:
        """The plain bytes of a record whose bytes are at hand."""
        if len(data) != where.length:
            raise corrupt(where, f'{len(data)} bytes')
        try:
            return record.decode(
                data,
                where.pack.kind,
                where.id,
                self._decoder,
                self._hashers[where.pack.kind],
            )
        except record.Malformed as error:
            raise corrupt(where, str(error)) from error
        except errors.UnsupportedFormat as error:
            raise unsupported(where, error) from error

    def _decode_run(
        self,
        source: page.Page,
        run: runs.Run,
        fetched: memoryview,
        room: Room | None,
    ) -> Iterator[tuple[int, base.Buffer]]:
        # What is left of a restore's time when its codec has its share is
        # spent here: no locator is made unless its record is damaged.
        kind, decoder = run.pack.kind, self._decoder
        hasher = self._hashers[kind]
        entries = source.entries[run.slots]
        record_ids = entries['id'].tobytes()
        begins = entries['offset'] - run.begin
        places = zip(
            run.slots,
            begins.tolist(),
            (begins + entries['length']).tolist(),
            range(0, len(record_ids), ids.ID_SIZE),
            strict=True,
        )
        last: tuple[int, int, bytes] | None = None
        plain: base.Buffer = b''
        for slot, begin, end, at in places:
            place = begin, end, record_ids[at : at + ids.ID_SIZE]
            into = None if room is None else room(slot)
            # A chunk that occurs again in the volume is decoded once.
            if place != last:
                try:
                    plain = record.decode(
                        fetched[begin:end],
                        kind,
                        place[2],
                        decoder,
                        hasher,
                        into,
                    )
                except record.Malformed as error:
                    raise corrupt(source.locator(slot), str(error)) from error
                except errors.UnsupportedFormat as error:
                    raise unsupported(source.locator(slot), error) from error
                last = place
            elif into is not None:
                if len(plain) != len(into):
                    raise corrupt(
                        source.locator(slot),
                        f'{len(plain)} bytes instead of {len(into)}',
                    )
                into[:] = plain
                plain = into
            yield slot, plain

    def fetch(
        self, pack: location.PackAddress, begin: int, length: int
    ) -> memoryview:
        """Bytes of a pack; valid until the next are asked for.

        :raises Corrupt: it is missing, too short, or can't be read
        :raises RepositoryError: the storage's
        """
        if len(self._buffer) < length:
            # By doubling: runs of a leaf differ a little in length.
            self._buffer = memory.anonymous(1 << (length - 1).bit_length())
        view = memoryview(self._buffer)[:length]
        key = layout.pack_key(pack)
        try:
            unreadable.attempt(
                self._storage,
                'pack',
                key,
                lambda: self._packs.read_into(pack, begin, view),
            )
        except errors.ObjectMissing as error:
            unreadable.probe(self._storage)
            raise errors.PackMissing(key) from error
        except errors.ObjectTruncated as error:
            raise errors.Corrupt('pack', key, 'it is too short') from error
        return view


class ChunkReader:
    """Reads chunks. One per worker thread."""

    def __init__(self, repo: opened.OpenRepository) -> None:
        self._reader = RecordReader(repo)

    def read(self, where: location.Locator, out: memoryview) -> None:
        """Read a chunk whose length is that of ``out``.

        :raises Corrupt: it can't be had, for ever, or has another length
        :raises RepositoryError: the storage's
        """
        plain = self._reader.read(where)
        if len(plain) != len(out):
            raise corrupt(where, f'{len(plain)} bytes instead of {len(out)}')
        out[:] = plain

    def read_leaf(
        self, leaf: page.Page, slots: Iterable[int], room: Room
    ) -> Iterator[int]:
        """Put a leaf's chunks where room says; each slot when it is there.

        See read_slots.
        """
        for slot, _ in self._reader.read_slots(leaf, slots, room):
            yield slot

    def give_back(self) -> None:
        """Take no memory until the next call."""
        self._reader.give_back()


def corrupt(where: location.Locator, reason: str) -> errors.Corrupt:
    """The error that names a damaged record."""
    return errors.Corrupt(_NAMES[where.pack.kind], _name(where), reason)


def unsupported(
    where: location.Locator, error: errors.UnsupportedFormat
) -> errors.UnsupportedFormat:
    """The error that names a record which takes a newer version."""
    return errors.UnsupportedFormat(f'{_name(where)}: {error}')


def _name(where: location.Locator) -> str:
    return f'{layout.pack_key(where.pack)} at {where.offset}'


def _check(where: location.Locator) -> None:
    if not (
        record.HEADER_SIZE < where.length <= record.max_length(where.pack.kind)
    ):
        raise corrupt(where, f'impossible length {where.length}')
