# SPDX-License-Identifier: Apache-2.0
import threading

import numpy as np

from ebackup_service.engine import control
from ebackup_service.engine import plan
from ebackup_service.engine import stages
from tests import base

LEAF = 4  # chunks


class HandoutTest(base.BaseTestCase):
    """Stages of two leaves of four chunks, dealt with by one thread."""

    def setUp(self):
        super().setUp()
        self.control = control.Control()

    def handout(self, leaves):
        return self.handout_of(plan.LeafTask(n, None) for n in range(leaves))

    def handout_of(self, work, most=2 * LEAF):
        return stages.Handout(work, most, LEAF, self.control)

    def give_up(self):
        raise control.JobStopped('by the test')

    def test_each_task_comes_with_its_stage(self):
        given = [
            (stage.number, task.leaf) for stage, task in self.handout(5).tasks
        ]
        self.assertEqual([(0, 0), (0, 1), (1, 2), (1, 3), (2, 4)], given)

    def test_stage_is_over_when_all_have_left_it(self):
        handout = self.handout(3)
        ended = handout.follow(self.give_up)
        first, _ = next(handout.tasks)
        handout.leave(first, 1, {'done': 1})
        # One of its tasks may still come.
        self.assertFalse(first.over)
        next(handout.tasks)
        self.assertFalse(first.over)
        last, _ = next(handout.tasks)
        handout.leave(first, 1, {'done': 10, 'bytes_read': 5})
        self.assertIs(first, next(ended))
        self.assertEqual(2, first.end)
        self.assertEqual({'done': 11, 'bytes_read': 5}, first.total)
        self.assertRaises(StopIteration, next, handout.tasks)
        handout.leave(last, 1, {'done': 1})
        # The first one is not given twice.
        ended = handout.follow(self.give_up)
        self.assertEqual([3], [stage.end for stage in ended])

    def test_stages_end_in_their_order(self):
        handout = self.handout(4)
        given = [stage for stage, _ in handout.tasks]
        handout.leave(given[2], 2, {})
        ended = handout.follow(self.give_up)
        self.assertRaises(control.JobStopped, next, ended)
        handout.leave(given[0], 2, {})
        ends = [stage.end for stage in handout.follow(self.give_up)]
        self.assertEqual([2, 4], ends)

    def test_turn_comes_with_the_checkpoint(self):
        handout = self.handout(4)
        given = [stage for stage, _ in handout.tasks]
        self.assertTrue(handout.is_turn(given[0]))
        self.assertFalse(handout.is_turn(given[2]))
        self.assertRaises(
            control.JobStopped, handout.wait_for_turn, given[2], self.give_up
        )
        noter = threading.Timer(0.05, handout.noted, [given[0]])
        noter.start()
        self.addCleanup(noter.join)
        handout.wait_for_turn(given[2], lambda: None)
        self.assertTrue(handout.is_turn(given[2]))

    def test_no_more_is_given_when_the_job_winds_down(self):
        """In a stage, between two, and when all is given."""
        for leaves, given in ((4, 1), (4, 2), (1, 1)):
            self.control = control.Control()
            handout = self.handout(leaves)
            for _ in range(given):
                stage, _ = next(handout.tasks)
            self.control.wind_down('by the test')
            self.assertRaises(StopIteration, next, handout.tasks)
            handout.leave(stage, given, {})
            ends = [stage.end for stage in handout.follow(self.give_up)]
            self.assertEqual([given], ends)
            self.assertEqual(given, handout.reached)

    def test_nothing_to_do(self):
        handout = self.handout(0)
        self.assertRaises(StopIteration, next, handout.tasks)
        self.assertEqual([], list(handout.follow(self.give_up)))
        self.assertEqual(0, handout.reached)

    def test_full_stage_ends_before_it_is_known_what_follows(self):
        def work():
            yield plan.LeafTask(0, None)
            yield plan.LeafTask(1, None)
            self.assertEqual(2, first.end)
            asked.append(True)

        asked = []
        handout = self.handout_of(work())
        first, _ = next(handout.tasks)
        self.assertEqual(0, first.end)
        next(handout.tasks)
        self.assertEqual(2, first.end)
        self.assertRaises(StopIteration, next, handout.tasks)
        self.assertEqual([True], asked)


class StagesTest(base.BaseTestCase):
    """What belongs to one stage."""

    def stages(self, work, most):
        handout = stages.Handout(work, most, LEAF, control.Control())
        found = {}
        for stage, _ in handout.tasks:
            found[stage.number] = stage
        return [(stage.given, stage.end) for stage in found.values()]

    def test_ends_when_enough_is_read(self):
        work = [plan.LeafTask(n, None) for n in range(5)]
        self.assertEqual([(2, 2), (2, 4), (1, 5)], self.stages(work, 2 * LEAF))

    def test_reads_no_more_than_that(self):
        kinds = np.array([plan.DATA] * 3 + [plan.HOLE], dtype=np.uint8)
        work = [plan.LeafTask(n, kinds) for n in range(5)]
        self.assertEqual([(2, 2), (2, 4), (1, 5)], self.stages(work, 2 * LEAF))

    def test_has_one_leaf_at_least(self):
        work = [plan.LeafTask(n, None) for n in range(3)]
        for most in 0, 1:
            self.assertEqual([(1, 1), (1, 2), (1, 3)], self.stages(work, most))

    def test_ranges_that_are_skipped_weigh_little(self):
        work = [plan.SkipTask(0, 1000, plan.HOLE), plan.LeafTask(1000, None)]
        self.assertEqual([(2, 1001)], self.stages(work, 2 * LEAF))

    def test_only_what_is_read_of_a_leaf_counts(self):
        kinds = np.array([plan.DATA] + [plan.HOLE] * 3, dtype=np.uint8)
        work = [plan.LeafTask(n, kinds) for n in range(8)]
        self.assertEqual([(4, 4), (4, 8)], self.stages(work, LEAF))

    def test_number_of_tasks_is_bounded(self):
        kinds = np.full(LEAF, plan.HOLE, dtype=np.uint8)
        work = [plan.LeafTask(n, kinds) for n in range(100)]
        self.assertEqual([(4, 4), (4, 8)], self.stages(work, LEAF)[:2])
