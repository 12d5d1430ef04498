# SPDX-License-Identifier: Apache-2.0
import contextlib
import itertools
import random
import threading
import time
from unittest import mock

from ebackup_service.engine import control
from ebackup_service.engine import crew
from ebackup_service.engine import places
from ebackup_service.engine import progress
from ebackup_service.engine import restore_leaf
from ebackup_service.production import errors
from ebackup_service.repository import errors as storage_errors
from ebackup_service.repository import reader
from tests.unit.ebackup_service.engine import volumes

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF
Mode = restore_leaf.Mode


class WorkerTest(volumes.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.content = random.Random(1).randbytes(LEAF) + bytes(LEAF)
        self.image, _ = self.back_up(self.content)

    def run_worker(self, mode, target, *tasks):
        """Returns what the worker counted."""
        counted = progress.Progress(self.image.size)
        job = restore_leaf.Job(
            self.image,
            target,
            mode,
            self.repo.hasher(),
            crew.Crew(self.control),
            crew.Shared(tasks),
            places.Places(1).share(),
        )
        worker = restore_leaf.Worker(
            job, reader.ChunkReader(self.repo), counted.worker()
        )
        with contextlib.closing(worker):
            worker.run()
            return counted.total()

    def test_leaf_task_touches_its_leaf_only(self):
        target = volumes.MemoryTarget(bytes(2 * LEAF))
        self.run_worker(Mode.EMPTY, target, restore_leaf.LeafTask(0))
        self.assertEqual(self.content, target.content)
        self.assertEqual(LEAF, sum(length for _, length in target.writes))
        self.assertEqual([], target.zeroed)

    def test_next_buffer_is_filled_while_one_is_written(self):
        target = volumes.MemoryTarget(bytes(2 * LEAF))
        filled = threading.Event()
        read_leaf = reader.ChunkReader.read_leaf

        def read(*arguments):
            yield from read_leaf(*arguments)
            filled.set()

        def before_write():
            # The third buffer of four, while the fourth is being filled.
            if len(target.writes) == 2:
                waited.append(filled.wait(60))

        waited = []
        target.before_write = before_write
        with mock.patch.object(reader.ChunkReader, 'read_leaf', read):
            self.run_worker(Mode.EMPTY, target, restore_leaf.LeafTask(0))

        self.assertEqual([True], waited)
        self.assertEqual(self.content, target.content)

    def test_what_can_not_be_written_ends_the_restore(self):
        for last in range(4):
            target = volumes.MemoryTarget(bytes(2 * LEAF))
            writes = iter((True,) * last)

            def fail(writes=writes):
                if not next(writes, False):
                    raise errors.TargetUnavailable('broken')

            target.before_write = fail
            self.assertRaises(
                errors.TargetUnavailable,
                self.run_worker,
                *(Mode.EMPTY, target, restore_leaf.LeafTask(0)),
            )
            self.assertEqual(last, len(target.writes))

    def test_closing_waits_for_a_write_that_has_begun(self):
        target = volumes.MemoryTarget(bytes(2 * LEAF))
        goes_on = threading.Event()
        target.before_write = lambda: goes_on.wait(60)
        timer = threading.Timer(0.1, goes_on.set)
        read_leaf = reader.ChunkReader.read_leaf

        def read(*arguments):
            """Fail when one buffer is full, and being written."""
            yield from itertools.islice(read_leaf(*arguments), 65)
            timer.start()
            raise storage_errors.StorageUnavailable('gone')

        with mock.patch.object(reader.ChunkReader, 'read_leaf', read):
            self.assertRaises(
                storage_errors.StorageUnavailable,
                self.run_worker,
                *(Mode.EMPTY, target, restore_leaf.LeafTask(0)),
            )
        self.assertEqual([(0, LEAF // 4)], target.writes)
        timer.join()

    def test_lease_is_looked_at_before_each_piece(self):
        """Also of what one buffer holds."""
        target = volumes.MemoryTarget(self.content)
        for number in range(0, 64, 2):
            target.content[number * CHUNK] ^= 1
        target.before_write = lambda: self.control.extend(0.0)
        self.assertRaises(
            control.LeaseLost,
            self.run_worker,
            *(Mode.IN_PLACE, target, restore_leaf.LeafTask(0)),
        )
        self.assertEqual([(0, CHUNK)], target.writes)

    def test_one_piece_at_most_is_under_way(self):
        """Zeros are not written beside what is behind."""
        hole = 2 * LEAF
        content = self.content[:LEAF] + bytes(LEAF) + self.content[:LEAF]
        self.image, _ = self.back_up(content)
        target = volumes.MemoryTarget(b'\1' * len(content))
        under_way = threading.Lock()

        def before_write():
            self.assertTrue(under_way.acquire(blocking=False))
            time.sleep(0.01)
            under_way.release()

        target.before_write = before_write
        self.run_worker(
            Mode.NEW,
            target,
            restore_leaf.LeafTask(0),
            restore_leaf.HoleTask(LEAF, LEAF),
            restore_leaf.LeafTask(2),
        )
        self.assertEqual([(LEAF, hole - LEAF)], target.zeroed)
        self.assertEqual(content, target.content)

    def test_hole_of_an_emptied_file_is_not_touched(self):
        target = volumes.MemoryTarget(bytes(2 * LEAF))
        counted = self.run_worker(
            Mode.EMPTY, target, restore_leaf.HoleTask(LEAF, LEAF)
        )
        self.assertEqual(
            ([], [], []), (target.reads, target.writes, target.zeroed)
        )
        self.assertEqual(LEAF, counted['done'])

    def test_hole_of_a_new_volume_is_zeroed_without_a_look(self):
        target = volumes.MemoryTarget(b'\1' * (2 * LEAF))
        self.run_worker(Mode.NEW, target, restore_leaf.HoleTask(LEAF, LEAF))
        self.assertEqual([(LEAF, LEAF)], target.zeroed)
        self.assertEqual([], target.reads)

    def test_hole_in_place_is_zeroed_where_something_is(self):
        target = volumes.MemoryTarget(bytes(2 * LEAF))
        target.content[LEAF + 5 * CHUNK] = 1
        self.run_worker(
            Mode.IN_PLACE, target, restore_leaf.HoleTask(LEAF, LEAF)
        )
        self.assertEqual([(LEAF + 5 * CHUNK, CHUNK)], target.zeroed)
        self.assertEqual(bytes(LEAF), target.content[LEAF:])

    def test_leaf_in_place_is_written_where_it_differs(self):
        target = volumes.MemoryTarget(self.content)
        target.content[7 * CHUNK + 3] ^= 1
        counted = self.run_worker(
            Mode.IN_PLACE, target, restore_leaf.LeafTask(0)
        )
        self.assertEqual([(7 * CHUNK, CHUNK)], target.writes)
        self.assertEqual(LEAF, counted['bytes_read'])
        self.assertEqual(self.content, target.content)
