# SPDX-License-Identifier: Apache-2.0
import time

from ebackup_service.production import waits
from tests import base


class Stopped(Exception):
    pass


class WaitsTest(base.BaseTestCase):
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
