# SPDX-License-Identifier: Apache-2.0
"""One worker of a restore: leaf after leaf."""

from collections.abc import Iterator
import contextlib
import dataclasses
import enum
import functools
from typing import NamedTuple
from typing import TypeAlias

import numpy as np

from ebackup_service.engine import buffers
from ebackup_service.engine import crew as engine_crew
from ebackup_service.engine import lost as restore_lost
from ebackup_service.engine import places
from ebackup_service.engine import progress
from ebackup_service.engine import runs
from ebackup_service.production import base as production
from ebackup_service.repository import background
from ebackup_service.repository import difference
from ebackup_service.repository import errors
from ebackup_service.repository import ids
from ebackup_service.repository import page
from ebackup_service.repository import reader as repository_reader
from ebackup_service.repository import tree as repository_tree

IO_SIZE = 4 << 20  # bytes of one read or write of the volume, at most
# Bytes zeroed at a time: where no hole can be punched they are written, and a
# job has to stop within a second.
ZERO_SIZE = 16 << 20


class Mode(enum.Enum):
    """What the target holds before the restore."""

    EMPTY = 'zeros'
    NEW = 'nothing of worth'
    IN_PLACE = 'content to compare with'


class LeafTask(NamedTuple):
    leaf: int


class HoleTask(NamedTuple):
    """Bytes that the image has no leaf for."""

    offset: int
    length: int


class LostTask(NamedTuple):
    """Bytes below a page that can't be read."""

    offset: int
    length: int
    error: errors.Corrupt


class KnownTask(NamedTuple):
    """A leaf of which it is known what the target holds.

    changed: which chunks are not what the known tree has; None: all
    done: bytes that are dealt with when it is, up to its end
    """

    leaf: int
    changed: runs.Mask | None
    done: int


Task: TypeAlias = LeafTask | HoleTask | LostTask | KnownTask


@dataclasses.dataclass(frozen=True)
class Job:
    """What all workers of a restore have in common, each part thread safe."""

    tree: repository_tree.Tree
    target: production.Target
    mode: Mode
    hasher: ids.Hasher
    crew: engine_crew.Crew
    tasks: engine_crew.Shared[Task]
    share: places.Share
    # None: what is damaged ends the restore
    lost: restore_lost.Lost | None = None
    # what the target held when that was made
    known: repository_tree.Tree | None = None


class Worker:
    """Belongs to one thread, with its reader, counters and buffers.

    What one buffer holds is written while the other one is filled.
    """

    def __init__(
        self,
        job: Job,
        reader: repository_reader.ChunkReader,
        counters: progress.Counters,
    ) -> None:
        self._job = job
        self._reader = reader
        self._counters = counters
        self._place = job.share.place()
        self._chunk_size = job.tree.chunk_size
        self._buffer = buffers.ChunkBuffer(self._chunk_size, IO_SIZE)
        self._spare = buffers.ChunkBuffer(self._chunk_size, IO_SIZE)
        self._behind: background.WriteBehind[int] = background.WriteBehind()
        self._io_size = self._buffer.count * self._chunk_size

    def run(self) -> None:
        """Deal with what there is to take; then all of it is written."""
        check = self._job.crew.check
        for task in self._place.work(self._job.tasks, check, self._give_back):
            check()
            if isinstance(task, HoleTask):
                self._hole(task)
            elif isinstance(task, LostTask):
                self._lose(*task)
                self._counters.done += task.length
            elif isinstance(task, KnownTask):
                self._known_leaf(task)
            else:
                self._leaf(task.leaf)
        self._settle()

    def close(self) -> None:
        """Wait for a write that has begun, and give the place back."""
        self._behind.close()
        self._place.close()

    def _give_back(self) -> None:
        self._settle()
        self._buffer.give_back()
        self._spare.give_back()
        self._reader.give_back()

    def _hole(self, task: HoleTask) -> None:
        if self._job.mode is Mode.NEW:
            self._zero(task.offset, task.length)
        elif self._job.mode is Mode.IN_PLACE:
            end = task.offset + task.length
            for offset in range(task.offset, end, self._io_size):
                flags = self._look(offset, min(self._io_size, end - offset))
                self._zero_chunks(offset, end, np.array(flags))
        self._counters.done += task.length

    def _leaf(self, index: int) -> None:
        tree = self._job.tree
        start = index * tree.leaf_span
        end = min(start + tree.leaf_span, tree.size)
        try:
            leaf = tree.leaf(index) or page.Leaf(index)
        except errors.Corrupt as error:
            self._lose(start, end - start, error)
            self._counters.done += end - start
            return
        wanted = leaf.present[: tree.geometry.slots(0, index)]
        unwanted = ~wanted
        if self._job.mode is Mode.IN_PLACE:
            wanted, unwanted = self._differences(leaf, start, end)
        if self._job.mode is not Mode.EMPTY:
            self._zero_chunks(start, end, unwanted)
        self._fetch(leaf, start, end, wanted)
        self._counters.done += end - start

    def _known_leaf(self, task: KnownTask) -> None:
        """Write what differs from what the target is known to hold."""
        tree, known = self._job.tree, self._job.known
        start = task.leaf * tree.leaf_span
        end = min(start + tree.leaf_span, tree.size)
        self._counters.done += task.done
        try:
            leaf = tree.leaf(task.leaf) or page.Leaf(task.leaf)
        except errors.Corrupt as error:
            self._lose(start, end - start, error)
            return
        differ = np.ones(page.FANOUT, dtype=np.bool_)
        if task.changed is not None and known is not None:
            with contextlib.suppress(errors.Corrupt):
                differ = difference.chunks(leaf, known.leaf(task.leaf))
                differ[: len(task.changed)] |= task.changed
        differ = differ[: tree.geometry.slots(0, task.leaf)]
        present = leaf.present[: len(differ)]
        self._zero_chunks(start, end, ~present & differ)
        self._fetch(leaf, start, end, present & differ)

    def _differences(
        self, leaf: page.Page, start: int, end: int
    ) -> tuple[runs.Mask, runs.Mask]:
        """Chunks to be written, and chunks to be zeroed."""
        hasher = self._job.hasher
        present = leaf.present.tolist()
        known = leaf.ids.tobytes()
        write, zero = bytearray(page.FANOUT), bytearray(page.FANOUT)
        for offset in range(start, end, self._io_size):
            length = min(self._io_size, end - offset)
            flags = self._look(offset, length)
            first = (offset - start) // self._chunk_size
            for slot, chunk, not_zero in zip(
                range(first, first + len(flags)),
                self._buffer.cut(length),
                flags,
                strict=True,
            ):
                if not present[slot]:
                    zero[slot] = not_zero
                elif (
                    not not_zero  # what is stored is never zeros
                    or hasher(chunk) != known[slot * 32 : slot * 32 + 32]
                ):
                    write[slot] = 1
        count = -(-(end - start) // self._chunk_size)
        return (
            np.frombuffer(write, dtype=np.bool_)[:count],
            np.frombuffer(zero, dtype=np.bool_)[:count],
        )

    def _look(self, offset: int, length: int) -> list[bool]:
        """Read the volume; which chunks in the buffer aren't zeros."""
        self._job.crew.pace(length)
        self._job.target.read_into(offset, self._buffer.bytes[:length])
        self._counters.bytes_read += length
        return self._buffer.not_zero(length)

    def _zero_chunks(self, start: int, end: int, chunks: runs.Mask) -> None:
        """Zero the chunks of the mask, which begins at start."""
        for first, stop in runs.of_mask(chunks):
            offset = start + first * self._chunk_size
            self._zero(
                offset, min(start + stop * self._chunk_size, end) - offset
            )

    def _zero(self, offset: int, length: int) -> None:
        self._settle()  # so that one piece at most is under way
        for begin in range(offset, offset + length, ZERO_SIZE):
            self._job.crew.check()
            size = min(ZERO_SIZE, offset + length - begin)
            self._job.target.zero(begin, size)
            self._counters.bytes_zeroed += size

    def _fetch(
        self, leaf: page.Page, start: int, end: int, wanted: runs.Mask
    ) -> None:
        """Write the chunks of the mask, of a leaf that begins at start.

        They come in the order in which they are stored, mostly that of the
        volume, and are written as soon as the next one is elsewhere: a larger
        buffer would fall out of the processor's cache before it is written.
        What is decompressed in vain, since it is damaged, is never written:
        only verified chunks are noted as filled.
        """
        geometry = self._job.tree.geometry
        window, filled = 0, bytearray(self._buffer.count)
        whole = (end - start) // self._chunk_size

        def room(slot: int) -> memoryview:
            nonlocal window, filled
            number, place = divmod(slot, len(filled))
            if number != window:
                self._write(start + window * self._io_size, end, filled)
                window, filled = number, bytearray(len(filled))
            chunk = self._buffer.chunks[place]
            if slot < whole:
                return chunk
            # As much of it as the volume's end leaves.
            return chunk[
                : geometry.chunk_length(leaf.index * page.FANOUT + slot)
            ]

        for slot in self._read(leaf, np.flatnonzero(wanted).tolist(), room):
            filled[slot % len(filled)] = 1
        self._write(start + window * self._io_size, end, filled)

    def _read(
        self, leaf: page.Page, slots: list[int], room: repository_reader.Room
    ) -> Iterator[int]:
        """Chunks that can be read, many by one request while all can."""
        left = set(slots)
        try:
            for slot in self._reader.read_leaf(leaf, slots, room):
                left.discard(slot)
                yield slot
            return
        except errors.Corrupt:
            if self._job.lost is None:
                raise
        for slot in sorted(left):
            try:
                yield from self._reader.read_leaf(leaf, [slot], room)
            except errors.Corrupt as error:
                self._lose_chunk(leaf, slot, error)

    def _lose_chunk(
        self, leaf: page.Page, slot: int, error: errors.Corrupt
    ) -> None:
        number = leaf.index * page.FANOUT + slot
        length = self._job.tree.geometry.chunk_length(number)
        self._lose(number * self._chunk_size, length, error)

    def _lose(self, offset: int, length: int, error: errors.Corrupt) -> None:
        """Leave zeros where the image can't be read."""
        if self._job.lost is None:
            raise error
        self._job.lost.add(offset, length, error)
        if self._job.mode is not Mode.EMPTY:
            self._zero(offset, length)

    def _write(self, offset: int, end: int, filled: bytearray) -> None:
        """Have some chunks of the buffer written; it is another one then.

        :param offset: of the buffer's beginning
        :param filled: has a 1 for each of the chunks
        """
        pieces = []
        for first, stop in runs.of_mask(np.frombuffer(filled, dtype=np.bool_)):
            begin = first * self._chunk_size
            behind = min(stop * self._chunk_size, end - offset)
            pieces.append((offset + begin, self._buffer.bytes[begin:behind]))
        if not pieces:
            return
        self._settle()
        self._behind.start(functools.partial(_write, self._job, pieces))
        self._buffer, self._spare = self._spare, self._buffer
        self._counters.chunks_changed += filled.count(1)

    def _settle(self) -> None:
        self._counters.bytes_written += self._behind.settle() or 0


def _write(job: Job, pieces: list[tuple[int, memoryview]]) -> int:
    """Return how many bytes these are."""
    written = 0
    for offset, data in pieces:
        job.crew.pace(len(data))
        job.target.write(offset, data)
        written += len(data)
    return written
