# SPDX-License-Identifier: Apache-2.0
import threading

from ebackup_service.engine import control
from ebackup_service.engine import plan
from ebackup_service.engine import stages
from tests import base


class HandoutTest(base.BaseTestCase):
    """Stages of two leaves, dealt with by one thread."""

    def setUp(self):
        super().setUp()
        self.control = control.Control()

    def handout(self, leaves):
        tasks = [plan.LeafTask(leaf, None) for leaf in range(leaves)]
        return stages.Handout(
            [
                plan.Stage(tasks[first : first + 2], min(first + 2, leaves))
                for first in range(0, leaves, 2)
            ],
            self.control,
        )

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
        last, _ = next(handout.tasks)
        self.assertFalse(first.over)
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

    def test_turn_comes_when_the_tree_was_taken(self):
        handout = self.handout(4)
        given = [stage for stage, _ in handout.tasks]
        self.assertTrue(handout.is_turn(given[0]))
        self.assertFalse(handout.is_turn(given[2]))
        self.assertRaises(
            control.JobStopped, handout.wait_for_turn, given[2], self.give_up
        )
        taker = threading.Timer(0.05, handout.taken, [given[0]])
        taker.start()
        self.addCleanup(taker.join)
        handout.wait_for_turn(given[2], lambda: None)
        self.assertTrue(handout.is_turn(given[2]))

    def test_no_more_is_given_when_the_job_winds_down(self):
        handout = self.handout(4)
        stage, _ = next(handout.tasks)
        self.control.wind_down('by the test')
        self.assertRaises(StopIteration, next, handout.tasks)
        handout.leave(stage, 1, {})
        ends = [stage.end for stage in handout.follow(self.give_up)]
        self.assertEqual([1], ends)
        self.assertTrue(handout.wound_down)

    def test_winds_down_between_two_stages(self):
        handout = self.handout(4)
        stage, _ = next(handout.tasks)
        next(handout.tasks)
        self.control.wind_down('by the test')
        self.assertRaises(StopIteration, next, handout.tasks)
        handout.leave(stage, 2, {})
        ends = [stage.end for stage in handout.follow(self.give_up)]
        self.assertEqual([2], ends)
        self.assertTrue(handout.wound_down)

    def test_winds_down_when_all_is_given(self):
        handout = self.handout(1)
        stage, _ = next(handout.tasks)
        self.control.wind_down('by the test')
        self.assertRaises(StopIteration, next, handout.tasks)
        handout.leave(stage, 1, {})
        ends = [stage.end for stage in handout.follow(self.give_up)]
        self.assertEqual([1], ends)
        self.assertFalse(handout.wound_down)

    def test_nothing_to_do(self):
        handout = self.handout(0)
        self.assertRaises(StopIteration, next, handout.tasks)
        self.assertEqual([], list(handout.follow(self.give_up)))
