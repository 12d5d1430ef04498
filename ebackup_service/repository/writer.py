# SPDX-License-Identifier: Apache-2.0
"""Records into packs.

Data: every worker thread has a ChunkWriter of its own, with codec context,
open pack and buffers, so the data path takes no lock. Pages are few: one
PageWriter serves all threads, behind a lock.
"""

from collections.abc import Callable
import functools
import threading
from typing import NamedTuple

from ebackup_service.repository import background
from ebackup_service.repository import codec
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack
from ebackup_service.repository import reader
from ebackup_service.repository import record

Allocate = Callable[[int], location.PackAddress]

# Bytes of the packs that are made, at most, whatever the repository allows: a
# writer of chunks has the memory of two, one of pages that of one. Between two
# checkpoints come few pages.
_LARGEST = {location.DATA: 16 * 1024 * 1024, location.PAGE: 4 * 1024 * 1024}


class PackWriter:
    """Fills packs of one kind, and writes each when it is full.

    Belongs to one thread at a time. The counters may be read by others: they
    are single assignments.

    :ivar records: how many were added
    :ivar record_bytes: their length, headers included
    :ivar packs: how many have been written
    :ivar overhead_bytes: of these: headers, footers, trailers
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        allocate: Allocate,
        kind: int,
        encoder: codec.Encoder,
        generation: int,
    ) -> None:
        """Nothing is allocated before the first record.

        :param allocate: gives a new address of the kind
        """
        self._repo = repo
        self._allocate = allocate
        self._kind = kind
        self._encode = encoder.encode
        self._generation = generation
        self._capacity = min(repo.config.pack_size, _LARGEST[kind])
        self._most = min(
            record.MAX_CHUNK if kind == location.DATA else record.MAX_PAGE,
            self._capacity - pack.OVERHEAD,
        )
        self._builder: pack.PackBuilder | None = None
        self._address: location.PackAddress | None = None
        self.records = 0
        self.record_bytes = 0
        self.packs = 0
        self.overhead_bytes = 0

    def add(
        self, record_id: bytes, plain: bytes | memoryview
    ) -> location.Locator:
        """Append a record; a pack that it doesn't fit into is written first.

        :param record_id: the id of ``plain``, not checked
        :param plain: 1 byte to 4 MiB of a chunk (64 KiB of a page); not kept
        :raises RepositoryError: the storage's; add() may be called again
        """
        plain_length = len(plain)
        if not 0 < plain_length <= self._most:
            raise ValueError(
                f'{plain_length} bytes in a record; 1 to {self._most} allowed'
            )
        encoding, payload = self._encode(plain)
        builder = self._builder
        address = self._address
        if (
            builder is None
            or address is None
            or not builder.fits(len(payload))
        ):
            builder, address = self._next_pack()
        offset, length = builder.append(
            self._kind, encoding, record_id, plain_length, payload
        )
        self.records += 1
        self.record_bytes += length
        return location.Locator(
            record_id, address, offset, length, self._generation
        )

    def flush(self) -> None:
        """Write the open pack, if there is one; then all records are durable.

        :raises RepositoryError: the storage's; flush() may be called again
        """
        builder, address = self._builder, self._address
        if builder is None or address is None:
            return
        self._count(self._write(builder, address))
        self._address = None

    def abandon(self) -> None:
        """Forget the open pack and give its memory back."""
        builder, self._builder = self._builder, None
        self._address = None
        if builder is not None:
            builder.close()

    def peek(self, where: location.Locator) -> bytes | None:
        """The bytes of a record if it is in the open pack, else None."""
        if self._builder is None or where.pack != self._address:
            return None
        return self._builder.peek(where.offset, where.length)

    def _write(
        self, builder: pack.PackBuilder, address: location.PackAddress
    ) -> int:
        """Return how many bytes of the pack are not of records."""
        sealed = builder.seal()
        try:
            self._repo.storage.create(layout.pack_key(address), [sealed])
            return len(sealed) - builder.record_bytes
        finally:
            sealed.release()

    def _count(self, overhead: int) -> None:
        """One more pack is durable."""
        self.packs += 1
        self.overhead_bytes += overhead

    def _hand_over(self) -> None:
        """Have the open pack written, if there is one."""
        self.flush()

    def _next_pack(self) -> tuple[pack.PackBuilder, location.PackAddress]:
        self._hand_over()
        if self._builder is None:
            self._builder = pack.PackBuilder(self._capacity)
        self._address = self._allocate(self._kind)
        self._builder.start(self._address, self._repo.uuid_bytes)
        return self._builder, self._address


class _Full(NamedTuple):
    """A pack to which nothing more is added; then: call it when durable."""

    builder: pack.PackBuilder
    address: location.PackAddress
    then: Callable[[], None]


class ChunkWriter(PackWriter):
    """The data packs of one worker thread; see PackWriter.

    A full pack is written by a thread of its own, while the next one is
    filled: the worker goes on computing meanwhile.
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        allocate: Allocate,
        encoder: codec.Encoder,
        generation: int,
    ) -> None:
        super().__init__(repo, allocate, location.DATA, encoder, generation)
        self._behind: background.WriteBehind[int] = background.WriteBehind()
        # What was handed over, and is not known to be durable.
        self._full: _Full | None = None
        self._spare: pack.PackBuilder | None = None

    def flush(self) -> None:
        self.settle()
        super().flush()

    def flush_behind(self, then: Callable[[], None]) -> None:
        """Begin a flush(), and go on meanwhile.

        :param then: called when all that was added until now is durable, in
            whatever thread. If that fails later, the next call of the writer
            raises, and the flush() that succeeds calls it
        :raises RepositoryError: of what was handed over before; ``then`` is
            forgotten
        """
        if self._address is None:
            self.settle()
            then()
        else:
            self._hand_over(then)

    def settle(self) -> None:
        """Wait until what was handed over is durable; write it if that failed.

        :raises RepositoryError: the storage's; settle() may be called again
        """
        if self._full is None:
            return
        overhead = self._behind.settle()
        if overhead is None:
            overhead = self._write_full(self._full)
        self._count(overhead)
        self._spare, self._full = self._full.builder, None

    def abandon(self) -> None:
        """Forget what is open and give its memory back.

        Waits for a write that has begun.
        """
        super().abandon()
        self._behind.close()
        full, spare = self._full, self._spare
        self._full = self._spare = None
        if full is not None:
            full.builder.close()
        if spare is not None:
            spare.close()

    def _hand_over(self, then: Callable[[], None] = lambda: None) -> None:
        if self._builder is None or self._address is None:
            return
        self.settle()
        full = _Full(self._builder, self._address, then)
        self._behind.start(functools.partial(self._write_full, full))
        self._full = full
        self._builder, self._spare = self._spare, None
        self._address = None

    def _write_full(self, full: _Full) -> int:
        overhead = self._write(full.builder, full.address)
        full.then()
        return overhead


class PageWriter:
    """The page packs of a session, for all its threads.

    ``_lock`` protects ``_packs`` and is held while a full pack is written.
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        allocate: Allocate,
        encoder: codec.Encoder,
        generation: int,
    ) -> None:
        self._lock = threading.Lock()
        self._packs = PackWriter(
            repo, allocate, location.PAGE, encoder, generation
        )
        self._reader = reader.RecordReader(repo)

    @property
    def metadata_bytes(self) -> int:
        return self._packs.record_bytes + self._packs.overhead_bytes

    @property
    def packs(self) -> int:
        return self._packs.packs

    def add(self, page_id: bytes, plain: bytes) -> location.Locator:
        with self._lock:
            return self._packs.add(page_id, plain)

    def read(self, where: location.Locator) -> bytes:
        """The plain bytes of a page: of the open pack, or of any other."""
        with self._lock:
            pending = self._packs.peek(where)
            if pending is not None:
                return bytes(self._reader.decode(memoryview(pending), where))
            return bytes(self._reader.read(where))

    def flush(self) -> None:
        with self._lock:
            self._packs.flush()

    def abandon(self) -> None:
        with self._lock:
            self._packs.abandon()
