# SPDX-License-Identifier: Apache-2.0
import random

from ebackup_service.engine import crew
from ebackup_service.engine import places
from ebackup_service.engine import progress
from ebackup_service.engine import restore_leaf
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
        restore_leaf.Worker(
            job, reader.ChunkReader(self.repo), counted.worker()
        ).run()
        return counted.total()

    def test_leaf_task_touches_its_leaf_only(self):
        target = volumes.MemoryTarget(bytes(2 * LEAF))
        self.run_worker(Mode.EMPTY, target, restore_leaf.LeafTask(0))
        self.assertEqual(self.content, target.content)
        self.assertEqual(LEAF, sum(length for _, length in target.writes))
        self.assertEqual([], target.zeroed)

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
