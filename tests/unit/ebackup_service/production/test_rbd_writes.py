# SPDX-License-Identifier: Apache-2.0
import errno
import threading
import time

from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_writes
from ebackup_service.production import waits
from tests import base

MIB = 1 << 20


class Stopped(Exception):
    """What a check raises when the job has to stop."""


class _Refused(Exception):
    errno = errno.EROFS


class _Image:
    """Remembers what was begun; ends of it what the test wants to end."""

    def __init__(self):
        self.begun = []
        self.written = {}
        self.changed = threading.Condition()

    def aio_write(self, data, offset, end):
        self._begin(('write', offset, data), end)

    def aio_write_zeroes(self, offset, length, end):
        self._begin(('zero', offset, length), end)
        self.end()

    def aio_flush(self, end):
        self._begin(('flush',), end)
        self.end()

    def _begin(self, call, end):
        with self.changed:
            self.begun.append((call, end))
            self.changed.notify_all()

    def end(self, number=-1, code=0):
        _, end = self.begun[number]
        end(_Completion(code))

    @property
    def calls(self):
        return [call for call, _ in self.begun]


class _Completion:
    def __init__(self, code):
        self._code = code

    def get_return_value(self):
        return self._code


class WritesTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.stop = False
        self.begin_anew()

    def begin_anew(self):
        self.image = _Image()
        self.writes = rbd_writes.Writes(
            rbd_calls.Calls(self.check), self.image
        )

    def check(self):
        if self.stop:
            raise Stopped

    def write(self, offset, length, byte=b'x'):
        self.writes.write(offset, memoryview(bytearray(byte * length)))

    def in_thread(self, work):
        """Begin it; gives what waits for its end and tells its error."""
        failed = []
        begun = threading.Event()

        def run():
            begun.set()
            try:
                work()
            except Exception as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.assertTrue(begun.wait(20))

        def ended(seconds=20):
            thread.join(seconds)
            self.assertFalse(thread.is_alive())
            return failed

        self.addCleanup(ended)
        return thread, ended

    def test_is_cut_into_requests(self):
        self.write(5 * MIB, 2 * MIB + 1)
        self.assertEqual(
            [(5 * MIB, MIB), (6 * MIB, MIB), (7 * MIB, 1)],
            [(offset, len(data)) for _, offset, data in self.image.calls],
        )
        self.image.end(0)
        self.image.end(1)
        self.image.end(2)
        self.writes.flush()

    def test_buffer_may_be_used_again_while_it_is_under_way(self):
        buffer = bytearray(b'old')
        self.writes.write(0, memoryview(buffer))
        buffer[:] = b'new'
        self.assertEqual(('write', 0, b'old'), self.image.calls[0])

    def test_who_has_too_much_under_way_waits_for_the_oldest(self):
        for number in range(4):
            self.write(number * 4 * MIB, 4 * MIB)
        thread, ended = self.in_thread(lambda: self.write(16 * MIB, 4 * MIB))
        with self.image.changed:
            self.assertTrue(
                self.image.changed.wait_for(
                    lambda: len(self.image.begun) == 20, 20
                )
            )
        for number in 3, 1, 0:
            self.image.end(number)
        self.assertTrue(thread.is_alive())
        self.image.end(2)
        self.assertEqual([], ended())

    def test_error_is_told_to_who_writes_later(self):
        self.write(0, MIB)
        self.image.end(code=-errno.EIO)
        with self.assertRaisesRegex(OSError, 'Input/output'):
            for number in range(1, 20):
                self.write(number * MIB, MIB)
                self.image.end()
        self.assertEqual(17, len(self.image.begun))

    def test_error_is_told_to_who_flushes(self):
        self.write(0, MIB)
        self.write(MIB, MIB)
        self.image.end(0)
        self.image.end(1, -errno.ENOSPC)
        error = self.assertRaises(OSError, self.writes.flush)
        self.assertEqual(errno.ENOSPC, error.errno)
        self.assertNotIn(('flush',), self.image.calls)

    def test_error_is_told_again(self):
        self.write(0, MIB)
        self.image.end(code=-errno.EIO)
        for _ in range(2):
            self.assertRaises(OSError, self.writes.flush)
        self.assertRaises(OSError, self.write, 0, MIB)

    def test_what_overlaps_is_not_under_way_together(self):
        """librbd keeps no order."""
        self.write(4 * MIB, 4 * MIB)
        self.writes.settle(0, 4 * MIB)
        self.writes.settle(8 * MIB, 4 * MIB)
        for work in (
            lambda: self.writes.settle(8 * MIB - 1, 1),
            lambda: self.write(4 * MIB, 1),
            lambda: self.writes.zero(0, 4 * MIB + 1),
        ):
            thread, ended = self.in_thread(work)
            thread.join(0.05)
            self.assertTrue(thread.is_alive())
            self.assertEqual(4, len(self.image.begun))
            for number in range(4):
                self.image.end(number)
            self.assertEqual([], ended())
            self.begin_anew()
            self.write(4 * MIB, 4 * MIB)

    def test_flush_waits_for_all(self):
        self.write(0, MIB)
        self.write(MIB, MIB)
        self.image.end(1)
        thread, ended = self.in_thread(self.writes.flush)
        thread.join(0.05)
        self.assertTrue(thread.is_alive())
        self.image.end(0)
        self.assertEqual([], ended())
        self.assertEqual(('flush',), self.image.calls[-1])

    def test_job_that_has_to_stop_does_not_wait(self):
        self.write(0, MIB)
        self.stop = True
        self.assertRaises(Stopped, self.writes.flush)

    def test_all_that_wait_for_the_same_stop_together(self):
        self.write(0, MIB)
        waiting = [self.in_thread(self.writes.flush) for _ in range(8)]
        self.stop = True
        began = time.monotonic()
        for _, ended in waiting:
            [error] = ended()
            self.assertIsInstance(error, Stopped)
        self.assertLess(time.monotonic() - began, 8 * waits.LOOK)

    def test_request_that_can_not_begin_has_failed(self):
        def refuse(data, offset, end):
            raise _Refused

        self.image.aio_write = refuse
        self.write(0, MIB)
        error = self.assertRaises(OSError, self.writes.flush)
        self.assertEqual(errno.EROFS, error.errno)

    def test_zeros_are_waited_for(self):
        self.writes.zero(MIB, 65 * MIB)
        self.assertEqual(
            [('zero', MIB, 64 * MIB), ('zero', 65 * MIB, MIB)],
            self.image.calls,
        )
