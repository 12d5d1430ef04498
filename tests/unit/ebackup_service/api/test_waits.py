# SPDX-License-Identifier: Apache-2.0
import threading
import time

from ebackup_service.api import waits
from tests import base

# Seconds in which nothing here is meant to end.
_LONG = 60.0


class WaitsTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.looks = 0

    def until(self, some, needed, seconds=_LONG, found=0):
        """Wait for so many looks; how many there were."""
        return some.until(
            lambda seen: seen >= needed, found, self.look, seconds
        )

    def look(self):
        self.looks += 1
        return self.looks

    def test_ends_when_it_has_happened(self):
        self.assertEqual(3, self.until(waits.Waits(2), 3))

    def test_what_has_happened_is_not_looked_for(self):
        self.assertEqual(7, self.until(waits.Waits(2), 3, found=7))
        self.assertEqual(0, self.looks)

    def test_ends_in_time(self):
        began = time.monotonic()
        self.assertGreater(self.until(waits.Waits(2), 1000, 0.2), 0)
        self.assertLess(time.monotonic() - began, _LONG / 2)

    def test_no_time_is_no_look(self):
        self.assertEqual(0, self.until(waits.Waits(2), 1, 0))

    def test_one_thread_does_not_wait(self):
        for threads in (0, 1):
            self.assertEqual(0, self.until(waits.Waits(threads), 1))

    def test_half_of_the_threads_wait(self):
        some = waits.Waits(4)
        end, waiting = threading.Event(), threading.Semaphore(0)

        def look():
            waiting.release()
            return end.is_set()

        def wait():
            some.until(bool, False, look, _LONG)

        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
            self.addCleanup(thread.join)
        self.addCleanup(end.set)
        for _ in range(4):
            waiting.acquire()
        self.assertEqual(0, self.until(some, 1))
        end.set()
        for thread in threads:
            thread.join()
        self.assertEqual(1, self.until(some, 1))

    def test_an_end_is_one_for_all_who_wait_or_come_later(self):
        some = waits.Waits(2)

        def look():
            some.end()
            return self.look()

        self.assertEqual(1, some.until(lambda seen: False, 0, look, _LONG))
        self.assertEqual(1, self.until(some, 2, found=1))
        self.assertEqual(1, self.looks)

    def test_a_look_that_fails_leaves_its_place(self):
        some = waits.Waits(2)

        def look():
            raise LookupError

        for _ in range(2):
            self.assertRaises(
                LookupError, some.until, bool, False, look, _LONG
            )
        self.assertEqual(1, self.until(some, 1))
