# SPDX-License-Identifier: Apache-2.0
import errno
import threading
import time
from unittest import mock

from ebackup_service.production import rbd_calls
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
        before = time.monotonic()
        gathering = self.calls.begin([ends.append, ends.append])
        for end in reversed(ends):
            end(Completion(1), b'a')
        after = time.monotonic()
        found, when = gathering.wait()
        self.assertEqual([b'a', b'a'], found)
        self.assertTrue(before <= when <= after)

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
