# SPDX-License-Identifier: Apache-2.0
import errno
import itertools
import threading
import time
from unittest import mock

from ebackup_service.production import rbd_calls
from ebackup_service.production import waits
from tests import base


class Stopped(Exception):
    pass


class Completion:
    def __init__(self, code):
        self.get_return_value = lambda: code


class CallsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.check = mock.Mock()
        self.calls = rbd_calls.Calls(self.check)
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)


class RunTest(CallsTestCase):
    def test_result_and_error_are_the_calls(self):
        self.assertEqual(5, self.calls.run(lambda: 5))
        self.assertRaises(KeyError, self.calls.run, lambda: {}['key'])
        self.check.assert_not_called()

    def test_timeout_of_the_call_itself_is_its_error(self):
        def fail():
            raise TimeoutError

        self.assertRaises(TimeoutError, self.calls.run, fail)

    def test_whoever_is_stopped_goes_away(self):
        self.check.side_effect = Stopped
        forgotten = threading.Event()

        def call():
            self.go_on.wait()
            return 'result'

        results = []

        def forget(result):
            results.append(result)
            forgotten.set()

        start = time.monotonic()
        self.assertRaises(Stopped, self.calls.run, call, forget)
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual([], results)

        self.go_on.set()
        self.assertTrue(forgotten.wait(60))
        self.assertEqual(['result'], results)

    def test_call_that_failed_after_all_leaves_nothing_to_forget(self):
        self.check.side_effect = Stopped
        ended = threading.Event()
        forget = mock.Mock()

        def call():
            try:
                self.go_on.wait()
                raise OSError
            finally:
                ended.set()

        self.assertRaises(Stopped, self.calls.run, call, forget)
        self.go_on.set()
        self.assertTrue(ended.wait(60))
        forget.assert_not_called()


class AheadTest(CallsTestCase):
    def steps(self, count):
        """Calls that answer 1, 2, …, and then nothing."""
        begun = []

        def step():
            begun.append(len(begun) + 1)
            return begun[-1] if begun[-1] <= count else None

        return begun, step

    def test_each_answer_comes_once_and_in_order(self):
        begun, step = self.steps(3)
        self.assertEqual([1, 2, 3], list(self.calls.ahead(step)))
        self.assertEqual([1, 2, 3, 4], begun)

    def test_next_one_is_under_way_and_no_other(self):
        begun, step = self.steps(5)
        found = self.calls.ahead(step)
        self.assertEqual([], begun)
        self.assertEqual(1, next(found))
        self.assertTrue(self.calls.finish(lambda: None, 60))
        self.assertEqual([1, 2], begun)

    def test_failure_comes_in_its_turn(self):
        begun, step = self.steps(2)

        def fail():
            if len(begun) == 2:
                raise OSError
            return step()

        found = self.calls.ahead(fail)
        self.assertEqual([1, 2], [next(found), next(found)])
        self.assertRaises(OSError, next, found)

    def test_closing_waits_for_what_is_under_way(self):
        over = threading.Event()
        answers = [lambda: 1, lambda: self.go_on.wait() and over.set()]
        found = self.calls.ahead(lambda: answers.pop(0)())
        next(found)
        found.close()
        seen = []
        self.assertFalse(self.calls.finish(lambda: seen.append(1), 0.2))
        self.go_on.set()
        self.assertTrue(self.calls.finish(lambda: None, 60))
        self.assertEqual(([1], True), (seen, over.is_set()))

    def test_closing_waits_for_the_calls_of_what_is_under_way(self):
        """Also for one that it begins later; it begins no other."""
        self.patch(waits, 'LOOK', 0.01)
        for kind in 'run', 'gather':
            with self.subTest(kind):
                self.assert_closing_waits(kind)

    def assert_closing_waits(self, kind):
        self.check.side_effect = None
        first, second, one, two = (threading.Event() for _ in range(4))
        ended, ends = [], []

        def wait(waiting, go, name):
            waiting.set()
            go.wait(60)
            ended.append(name)

        def ask(end):
            ends.append(end)
            second.set()

        def step():
            try:
                self.calls.run(lambda: wait(first, one, 'first'))
                if kind == 'run':
                    self.calls.run(lambda: wait(second, two, 'second'))
                else:
                    self.calls.gather([ask])
            finally:
                self.calls.run(lambda: ended.append('third'))

        found = self.calls.ahead(step)
        stopped = []
        thread = threading.Thread(
            target=lambda: stopped.append(
                self.assertRaises(Stopped, next, found)
            ),
            daemon=True,
        )
        thread.start()
        self.assertTrue(first.wait(60))
        self.assertFalse(self.calls.finish(lambda: ended.append('closed'), 0))
        one.set()
        self.assertTrue(second.wait(60))
        self.check.side_effect = Stopped
        thread.join(60)
        self.assertEqual(1, len(stopped))
        self.assertFalse(
            self.calls.finish(lambda: ended.append('closed'), 0.1)
        )
        if kind == 'gather':
            ended.append('second')
            ends[0](Completion(0))
        two.set()
        self.assertTrue(self.calls.finish(lambda: None, 60))
        self.assertEqual(['first', 'second', 'closed', 'closed'], ended)

    def test_job_that_is_stopped_begins_no_more_steps(self):
        """However quick they are."""
        for call in (
            lambda: self.calls.run(lambda: None),
            lambda: self.calls.gather([lambda end: end(Completion(0))]),
        ):
            self.check.side_effect = None
            made = []

            def step(call=call, made=made):
                call()
                made.append(call)
                if len(made) == 3:
                    self.check.side_effect = Stopped
                return 1

            found = itertools.islice(self.calls.ahead(step), 100)
            self.assertRaises(Stopped, list, found)
            self.assertEqual(3, len(made))

    def test_whoever_is_stopped_goes_away(self):
        self.check.side_effect = Stopped
        found = self.calls.ahead(self.go_on.wait)
        self.assertRaises(Stopped, next, found)


class GatherTest(CallsTestCase):
    def test_answers_are_in_the_order_of_the_questions(self):
        ends = []

        def last(end):
            ends.append(end)
            for answer, waiting in zip(
                (b'c', b'b', b'a'), reversed(ends), strict=True
            ):
                threading.Thread(
                    target=waiting, args=(Completion(1), answer)
                ).start()

        found = self.calls.gather([ends.append, ends.append, last])
        self.assertEqual([b'a', b'b', b'c'], found)

    def test_calls_that_are_waited_for_later(self):
        ends = []
        gathering = self.calls.begin([ends.append, ends.append])
        for end in reversed(ends):
            end(Completion(1), b'a')
        self.assertEqual([b'a', b'a'], gathering.wait())

    def test_calls_that_read_nothing(self):
        self.assertEqual(
            [b''], self.calls.gather([lambda end: end(Completion(0))])
        )
        self.assertEqual([], self.calls.gather([]))

    def test_failure(self):
        error = self.assertRaises(
            OSError,
            self.calls.gather,
            [lambda end: end(Completion(-errno.ETIMEDOUT), None)],
        )
        self.assertEqual(errno.ETIMEDOUT, error.errno)

    def test_whoever_is_stopped_goes_away(self):
        self.check.side_effect = [None, Stopped]
        self.assertRaises(Stopped, self.calls.gather, [lambda end: None])
        self.assertEqual(2, self.check.call_count)


class FinishTest(CallsTestCase):
    def setUp(self):
        super().setUp()
        self.made = []

    def finish(self):
        return self.calls.finish(lambda: self.made.append('finish'), 0.1)

    def test_nothing_is_under_way(self):
        self.assertEqual(5, self.calls.run(lambda: 5))
        self.assertTrue(self.calls.finish(lambda: None, 60))

    def test_failure_is_an_end(self):
        def fail():
            raise OSError

        self.assertTrue(self.calls.finish(fail, 60))
        self.assertTrue(self.calls.finish(lambda: None, 60))

    def test_after_a_call_that_nobody_waits_for(self):
        def forget(result):
            time.sleep(0.1)
            self.made.append('forget')

        self.check.side_effect = Stopped
        self.assertRaises(Stopped, self.calls.run, self.go_on.wait, forget)
        self.assertFalse(self.finish())
        self.assertFalse(self.finish())
        self.assertEqual([], self.made)
        self.go_on.set()
        self.assertTrue(self.calls.finish(lambda: None, 60))
        self.assertEqual(['forget', 'finish', 'finish'], self.made)

    def test_after_a_result_that_can_not_be_forgotten(self):
        self.check.side_effect = Stopped
        forget = mock.Mock(side_effect=OSError)
        self.assertRaises(Stopped, self.calls.run, self.go_on.wait, forget)
        self.go_on.set()
        self.assertTrue(self.calls.finish(lambda: None, 60))
        forget.assert_called_once_with(True)

    def test_after_asynchronous_calls(self):
        ends = []
        self.calls.begin([ends.append, ends.append])
        ends[1](Completion(0))
        self.assertFalse(self.finish())
        ends[0](Completion(-errno.EIO))
        self.assertTrue(self.calls.finish(lambda: None, 60))
        self.assertEqual(['finish'], self.made)
