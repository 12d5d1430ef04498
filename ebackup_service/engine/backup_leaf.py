# SPDX-License-Identifier: Apache-2.0
"""One worker of a backup: leaf after leaf."""

import collections
from collections.abc import Iterator
import dataclasses
import functools

import numpy as np

from ebackup_service.engine import buffers
from ebackup_service.engine import crew as engine_crew
from ebackup_service.engine import places
from ebackup_service.engine import plan
from ebackup_service.engine import progress
from ebackup_service.engine import recent_chunks
from ebackup_service.engine import runs
from ebackup_service.engine import stages
from ebackup_service.production import base as production
from ebackup_service.repository import errors
from ebackup_service.repository import extents
from ebackup_service.repository import ids
from ebackup_service.repository import page
from ebackup_service.repository import tree as repository_tree
from ebackup_service.repository import tree_writer
from ebackup_service.repository import writer as repository_writer

READ_SIZE = 4 << 20  # bytes read at a time

_NO_IDS = [b''] * page.FANOUT


@dataclasses.dataclass(frozen=True)
class Job:
    """What all workers of a backup have in common, each part thread safe."""

    source: production.Source
    base: repository_tree.Tree | None
    target: tree_writer.TreeWriter
    hasher: ids.Hasher
    chunk_size: int
    crew: engine_crew.Crew
    share: places.Share
    handout: stages.Handout
    # of the base: not to be taken over
    damaged: extents.Extents = dataclasses.field(
        default_factory=extents.Extents
    )
    recent: recent_chunks.RecentChunks = dataclasses.field(
        default_factory=recent_chunks.RecentChunks
    )


class Worker:
    """Belongs to one thread, with its writer, counters and buffer."""

    def __init__(
        self,
        job: Job,
        writer: repository_writer.ChunkWriter,
        counters: progress.Counters,
    ) -> None:
        self._job = job
        self._writer = writer
        self._counters = counters
        self._place = job.share.place()
        self._span = job.chunk_size * page.FANOUT
        self._buffer = buffers.ChunkBuffer(job.chunk_size, READ_SIZE)
        # What it is at (this one is nobody's), how many tasks of it it has
        # had, and what had been counted before them.
        self._stage = stages.Stage(0)
        self._tasks = 0
        self._counted_before = counters.to_dict()

    def run(self) -> None:
        """Deal with what there is to take.

        It is durable when all workers have returned; what belongs to a stage,
        when all have left that.
        """
        tasks, check = self._job.handout.tasks, self._job.crew.check
        for stage, task in self._place.work(tasks, check, self._give_back):
            check()
            if stage is not self._stage:
                self._leave()
                self._stage = stage
            self._tasks += 1
            if isinstance(task, plan.SkipTask):
                self._skip(task)
            else:
                self._leaf(task)
            if stage.end:
                self._leave()
        self._writer.flush()
        self._leave()

    def close(self) -> None:
        """Give memory and place back; what was open is forgotten."""
        self._writer.abandon()
        self._place.close()

    def _leave(self) -> None:
        """Go on, while what belongs to the stage is made durable."""
        if not self._tasks:
            return
        counted = self._counters.to_dict()
        self._writer.flush_behind(
            functools.partial(
                self._job.handout.leave,
                self._stage,
                self._tasks,
                {n: counted[n] - self._counted_before[n] for n in counted},
            )
        )
        self._counted_before = counted
        self._tasks = 0

    def _give_back(self) -> None:
        self._writer.flush()
        self._leave()
        self._writer.abandon()
        self._buffer.give_back()

    def _skip(self, task: plan.SkipTask) -> None:
        start = task.start * self._span
        end = min(task.stop * self._span, self._job.source.size)
        if task.kind == plan.HOLE:
            # A leaf that the target isn't told of is a hole.
            self._counters.chunks_zero += self._count(end - start)
        else:
            self._wait_for_turn()
            try:
                self._job.target.keep_leaves(task.start, task.stop)
            except errors.Corrupt:
                # Some are below a page that the base has lost.
                self._keep_singly(task)
                return
        self._counters.done += end - start

    def _keep_singly(self, task: plan.SkipTask) -> None:
        """Keep the leaves that the base still has, and read the others."""
        for leaf in range(task.start, task.stop):
            self._job.crew.check()
            size = min(self._span, self._job.source.size - leaf * self._span)
            self._leaf(plan.unchanged(leaf, self._count(size)))

    def _leaf(self, task: plan.LeafTask) -> None:
        start = task.leaf * self._span
        size = min(self._span, self._job.source.size - start)
        count = self._count(size)
        base, task = self._base_leaf(task)
        known = _NO_IDS if base is None else self._known(base)
        fresh = page.Leaf(task.leaf)
        kept = bytearray(page.FANOUT)
        done = 0
        for offset, data in self._read_each(self._spans(task, start, size)):
            first = (offset - start) // self._job.chunk_size
            self._chunks(first, data, known, kept, fresh)
            done += len(data)
        self._counters.done += size - done
        keep = np.frombuffer(kept, dtype=np.bool_)
        if task.kinds is not None:
            self._counters.chunks_zero += int((task.kinds == plan.HOLE).sum())
            keep[:count] |= task.kinds == plan.UNCHANGED
        self._put(task.leaf, base, keep, fresh)

    def _spans(
        self, task: plan.LeafTask, start: int, size: int
    ) -> list[tuple[int, int]]:
        """Offset and length of each read of a leaf that begins at start."""
        chunk_size = self._job.chunk_size
        return [
            (
                start + first * chunk_size,
                min(stop * chunk_size, size) - first * chunk_size,
            )
            for first, stop in runs.of_mask(
                plan.to_read(task, self._count(size)), self._buffer.count
            )
        ]

    def _read_each(
        self, spans: list[tuple[int, int]]
    ) -> Iterator[tuple[int, memoryview]]:
        """The offset of each, and what is there, until the next one is read.

        So much is expected as would fill the buffer once more, so that it
        comes while the caller deals with what he has.
        """
        following = collections.deque(spans)
        room = len(self._buffer.bytes)
        for offset, length in spans:
            room = self._expect(following, room)
            data = self._read(offset, length)
            room = self._expect(following, room + length)
            yield offset, data

    def _expect(
        self, following: collections.deque[tuple[int, int]], room: int
    ) -> int:
        while following and following[0][1] <= room:
            offset, length = following.popleft()
            self._job.source.expect(offset, length)
            room -= length
        return room

    def _read(self, offset: int, length: int) -> memoryview:
        self._job.crew.pace(length)
        data = self._job.source.read(offset, self._buffer.bytes[:length])
        self._counters.bytes_read += length
        return data

    def _chunks(
        self,
        first: int,
        data: memoryview,
        known: list[bytes],
        kept: bytearray,
        fresh: page.Leaf,
    ) -> None:
        """Deal with the chunks that were read, of slots from first on.

        :param known: what the base has in each slot
        :param kept: gets a 1 where the base has the same
        :param fresh: gets what is stored
        """
        hasher = self._job.hasher
        chunks, flags = self._buffer.chunks_of(data)
        changed: list[tuple[int, bytes, memoryview]] = []
        for slot, chunk, not_zero in zip(
            range(first, first + len(chunks)), chunks, flags, strict=True
        ):
            if not_zero:
                chunk_id = hasher(chunk)
                if chunk_id == known[slot]:
                    kept[slot] = 1
                else:
                    changed.append((slot, chunk_id, chunk))
        if changed:
            self._store(changed, fresh)
        self._counters.chunks_zero += flags.count(False)
        self._counters.done += len(data)

    def _store(
        self, changed: list[tuple[int, bytes, memoryview]], fresh: page.Leaf
    ) -> None:
        """Store what is not stored yet.

        :param changed: slot, id, content of chunks
        :param fresh: gets where they are
        """
        recent, stage = self._job.recent, self._stage.number
        counters = self._counters
        for slot, chunk_id, chunk in changed:
            where = recent.get(chunk_id, stage)
            if where is None:
                self._job.crew.check()
                where = self._writer.add(chunk_id, chunk)
                recent.add(where, stage)
                counters.chunks_stored += 1
                counters.bytes_stored += where.length
            fresh.set(slot, where)
        counters.chunks_changed += len(changed)

    def _put(
        self,
        leaf: int,
        base: page.Page | None,
        keep: runs.Mask,
        fresh: page.Leaf,
    ) -> None:
        target = self._job.target
        self._wait_for_turn()
        if base is not None:
            if (
                fresh.empty
                and leaf < target.keepable
                and not (base.present & ~keep).any()
            ):
                target.keep_leaf(leaf)
                return
            fresh.copy_slots(base, keep)
        target.put_leaf(leaf, fresh)

    def _wait_for_turn(self) -> None:
        """Before the target is told of a leaf."""
        handout = self._job.handout
        if not handout.is_turn(self._stage):
            # What the others wait for may be a pack that failed.
            self._writer.settle()
            handout.wait_for_turn(self._stage, self._job.crew.check)

    def _base_leaf(
        self, task: plan.LeafTask
    ) -> tuple[page.Page | None, plan.LeafTask]:
        """What the base has, and what is to be done then."""
        base = self._job.base
        if base is None or task.leaf * self._span >= base.size:
            return None, task
        try:
            return base.leaf(task.leaf), task
        except errors.Corrupt:
            # The volume still has what the base has lost.
            return None, plan.reading_all(task)

    def _known(self, base: page.Page) -> list[bytes]:
        """The ids in the base's leaf, but for those of damaged chunks."""
        known = _ids(base)
        damaged = self._job.damaged.chunks(
            base.index * self._span, self._job.chunk_size
        )
        for slot in damaged.nonzero()[0].tolist():
            known[slot] = b''
        return known

    def _count(self, length: int) -> int:
        return -(-length // self._job.chunk_size)


def _ids(leaf: page.Page) -> list[bytes]:
    joined = leaf.ids.tobytes()
    return [joined[i : i + 32] for i in range(0, len(joined), 32)]
