# SPDX-License-Identifier: Apache-2.0
import functools
import threading

from ebackup_service.repository import background
from tests import base


class BackgroundTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.goes_on = threading.Event()
        self.addCleanup(self.goes_on.set)

    def wait(self, answer):
        self.goes_on.wait(60)
        return answer

    def fail(self):
        raise OSError('full')


class BegunTestCase(BackgroundTestCase):
    def test_result(self):
        found = background.begun(functools.partial(self.wait, 7), 'x')
        self.assertFalse(found.done())
        self.goes_on.set()

        self.assertEqual(7, found.result(60))

    def test_failure(self):
        self.assertRaises(OSError, background.begun(self.fail, 'x').result)

    def test_thread_does_not_keep_the_process(self):
        def thread():
            return threading.current_thread()

        made = background.begun(thread, 'x').result(60)

        self.assertEqual(('x', True), (made.name, made.daemon))


class WriteBehindTestCase(BackgroundTestCase):
    def setUp(self):
        super().setUp()
        self.behind = background.WriteBehind()
        self.addCleanup(self.behind.close)
        # Before that, which waits for what was started.
        self.addCleanup(self.goes_on.set)

    def start(self, answer):
        self.behind.start(functools.partial(self.wait, answer))

    def test_owner_goes_on_meanwhile(self):
        self.start(7)
        self.goes_on.set()

        self.assertEqual(7, self.behind.settle())
        self.assertIsNone(self.behind.settle())

    def test_one_call_at_a_time(self):
        self.start(7)

        self.assertRaises(ValueError, self.start, 8)

    def test_failure_is_told_once(self):
        self.behind.start(self.fail)

        self.assertRaises(OSError, self.behind.settle)
        self.assertIsNone(self.behind.settle())
        self.goes_on.set()
        self.start(7)
        self.assertEqual(7, self.behind.settle())

    def test_closing_waits(self):
        done = []
        self.behind.start(lambda: done.append(self.wait(7)))
        timer = threading.Timer(0.1, self.goes_on.set)
        timer.start()
        self.behind.close()
        timer.join()

        self.assertEqual([7], done)
        self.assertIsNone(self.behind.settle())

    def test_closing_ends_the_thread(self):
        threads = []
        self.goes_on.set()
        for _ in range(2):
            for _ in range(2):
                self.behind.start(
                    lambda: threads.append(threading.current_thread())
                )
                self.behind.settle()
            self.behind.close()
        for thread in threads:
            thread.join(60)

        self.assertIs(threads[0], threads[1])
        self.assertIsNot(threads[1], threads[2])
        self.assertTrue(all(thread.daemon for thread in threads))
        self.assertFalse(any(thread.is_alive() for thread in threads))

    def test_closing_forgets_a_failure(self):
        self.behind.start(self.fail)
        self.behind.close()

        self.assertIsNone(self.behind.settle())
        self.behind.close()
