# SPDX-License-Identifier: Apache-2.0
import dataclasses
import random
import uuid

import numpy as np

from ebackup_service.engine import backup_leaf
from ebackup_service.engine import crew
from ebackup_service.engine import places
from ebackup_service.engine import plan
from ebackup_service.engine import progress
from ebackup_service.engine import stages
from ebackup_service.repository import root
from ebackup_service.repository import tree
from tests.unit.ebackup_service.engine import volumes

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF


class WorkerTest(volumes.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.old = random.Random(1).randbytes(2 * LEAF)
        self.base, _ = self.back_up(self.old)

    def run_worker(self, source, *tasks, workers=1):
        """Returns the tree that the tasks made, and what was counted.

        :param workers: one after the other; they share the tasks
        """
        session = self.repo.session(str(uuid.uuid4()), 2)
        target = session.tree(source.size, CHUNK, self.base)
        counted = progress.Progress(source.size)
        job = backup_leaf.Job(
            source,
            self.base,
            target,
            self.repo.hasher(),
            CHUNK,
            crew.Crew(self.control),
            places.Places(workers).share(),
            self.handout(tasks),
        )
        for number in range(workers):
            worker = backup_leaf.Worker(
                dataclasses.replace(
                    job, handout=self.handout(tasks[number::workers])
                ),
                session.writer(),
                counted.worker(),
            )
            worker.run()
            worker.close()
        where = target.finish()
        session.commit_candidate(
            root.Root(
                str(uuid.uuid4()),
                root.Chain('project', 'volume'),
                2,
                source.size,
                CHUNK,
                where,
            )
        )
        made = tree.Tree(self.repo, where, source.size, CHUNK)
        return made, counted.total()

    def handout(self, tasks):
        return stages.Handout(tasks, 512, 256, self.control)

    def test_changed_chunk_of_a_leaf_is_stored(self):
        content = bytearray(self.old)
        content[3 * CHUNK + 1] ^= 1
        made, counted = self.run_worker(
            volumes.MemorySource(bytes(content)),
            plan.LeafTask(0, None),
            plan.LeafTask(1, None),
        )
        self.assertEqual(1, counted['chunks_stored'])
        self.assertEqual(2 * LEAF, counted['bytes_read'])
        self.assertHolds(bytes(content), made)

    def test_unchanged_leaves_are_kept_unread(self):
        source = volumes.MemorySource(self.old)
        made, counted = self.run_worker(
            source, plan.SkipTask(0, 2, volumes.UNCHANGED)
        )
        self.assertEqual((0, 0), (source.bytes_read, counted['chunks_stored']))
        self.assertEqual(self.base.root, made.root)

    def test_leaves_that_are_holes_leave_the_tree(self):
        source = volumes.MemorySource(self.old)
        made, counted = self.run_worker(
            source, plan.SkipTask(0, 2, volumes.HOLE)
        )
        self.assertIsNone(made.root)
        self.assertEqual(512, counted['chunks_zero'])

    def test_what_another_worker_has_stored_is_not_stored_again(self):
        content = volumes.noise(LEAF, 5) * 2
        made, counted = self.run_worker(
            volumes.MemorySource(content),
            plan.LeafTask(0, None),
            plan.LeafTask(1, None),
            workers=2,
        )
        self.assertEqual(256, counted['chunks_stored'])
        self.assertEqual(512, counted['chunks_changed'])
        self.assertHolds(content, made)

    def test_what_is_read_next_is_expected(self):
        """No more than fills the buffer, as soon as that is taken."""
        piece = LEAF // 4
        source = volumes.MemorySource(self.old)
        source.before_read = lambda: ahead.append(list(source.expected))
        ahead = []
        self.run_worker(source, plan.LeafTask(0, None))
        pieces = [(number * piece, piece) for number in range(4)]
        self.assertEqual(pieces, source.reads)
        self.assertEqual(
            [pieces[:1], pieces[:2], pieces[:3], pieces[:4]], ahead
        )

    def test_many_small_reads_are_expected_together(self):
        kinds = np.full(256, volumes.UNCHANGED, dtype=np.uint8)
        kinds[::2] = volumes.DATA
        source = volumes.MemorySource(self.old)
        source.before_read = lambda: ahead.append(len(source.expected))
        ahead = []
        self.run_worker(source, plan.LeafTask(1, kinds))
        self.assertEqual(source.reads, source.expected)
        self.assertEqual(
            [min(64 + number, 128) for number in range(128)], ahead
        )

    def test_failed_read_is_raised(self):
        def fail():
            raise OSError('read error')

        source = volumes.MemorySource(self.old)
        source.before_read = fail
        self.assertRaises(
            OSError, self.run_worker, source, plan.LeafTask(0, None)
        )
