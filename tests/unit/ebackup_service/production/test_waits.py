# SPDX-License-Identifier: Apache-2.0
import threading
import time
from unittest import mock

from ebackup_service.production import waits
from tests import base


class Stopped(Exception):
    pass


class UntilTest(base.BaseTestCase):
    def test_until_it_is_ready(self):
        answers = [False, False, True]
        checks = []
        self.assertTrue(
            waits.until(
                lambda seconds: answers.pop(0), 60, lambda: checks.append(1)
            )
        )
        self.assertEqual([], answers)
        self.assertEqual(3, len(checks))

    def test_not_longer_than_told(self):
        waited = []

        def ready(seconds):
            waited.append(seconds)
            time.sleep(seconds)
            return False

        self.assertFalse(waits.until(ready, 0.05, lambda: None))
        self.assertLessEqual(max(waited), 0.05)

    def test_looks_once_without_time(self):
        self.assertTrue(waits.until(lambda seconds: True, 0, lambda: None))
        self.assertFalse(waits.until(lambda seconds: False, 0, lambda: None))

    def test_waits_in_short_pieces(self):
        waited = []

        def ready(seconds):
            waited.append(seconds)
            return True

        waits.until(ready, 3600, lambda: None)
        self.assertEqual([waits.LOOK], waited)

    def test_is_stopped(self):
        def check():
            raise Stopped

        self.assertRaises(
            Stopped, waits.until, lambda seconds: False, 60, check
        )


class EndedTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.check = mock.Mock()
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def test_result_and_error_are_the_calls(self):
        self.assertEqual(5, waits.ended(lambda: 5, self.check))
        self.assertRaises(KeyError, waits.ended, lambda: {}['k'], self.check)

    def test_result_that_is_waited_for_is_not_forgotten(self):
        forget = mock.Mock()
        waits.ended(lambda: 5, self.check, forget)
        forget.assert_not_called()

    def test_whoever_is_stopped_does_not_wait(self):
        self.check.side_effect = [None, Stopped]
        self.assertRaises(Stopped, waits.ended, self.go_on.wait, self.check)

    def test_not_longer_than_told(self):
        self.assertRaises(
            waits.NotEnded,
            *(waits.ended, self.go_on.wait, self.check, None, 0.1),
        )

    def test_late_result_is_forgotten(self):
        forgotten = threading.Event()
        results = []

        def forget(result):
            results.append(result)
            forgotten.set()

        self.assertRaises(
            waits.NotEnded,
            *(waits.ended, self.go_on.wait, self.check, forget, 0),
        )
        self.assertEqual([], results)
        self.go_on.set()
        self.assertTrue(forgotten.wait(60))
        self.assertEqual([True], results)
