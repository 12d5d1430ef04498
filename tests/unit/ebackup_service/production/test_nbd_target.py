# SPDX-License-Identifier: Apache-2.0
import errno
import threading

from ebackup_service.production import errors
from tests.unit.ebackup_service.production import test_nbd_source

MIB = 1 << 20
SIZE = test_nbd_source.SIZE
CONTENT = test_nbd_source.CONTENT


class TargetTest(test_nbd_source.HostileTestCase):
    def target(self, check=lambda: None, **options):
        target = self.opener(check, **options).target(
            self.address, SIZE, False
        )
        self.addCleanup(target.close)
        return target

    def test_parts_of_blocks(self):
        self.server.blocks = (4096, 4096, 1 << 25)
        content = bytearray(CONTENT)
        target = self.target()
        self.assertEqual(4096, target.alignment)
        for offset, length in ((5, 3), (4095, 2), (8192, 1), (9000, 9000)):
            target.write(offset, memoryview(b'x' * length))
            content[offset : offset + length] = b'x' * length
        for offset, length in ((MIB + 5, 3), (2 * MIB - 1, 8194)):
            target.zero(offset, length)
            content[offset : offset + length] = bytes(length)
        target.flush()
        self.assertEqual(bytes(content), bytes(self.server.content))
        self.assertEqual(bytes(content), self.read(target))

    def test_neighbours_in_one_block_at_once(self):
        self.server.blocks = (4096, 4096, 1 << 25)
        target = self.target()

        def write(number):
            for place in range(number, 4096, 8):
                target.write(place, memoryview(b'%d' % number))

        threads = [
            threading.Thread(target=write, args=(number,))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(b'01234567' * 512, bytes(self.server.content[:4096]))

    def test_error_of_the_storage_behind(self):
        target = self.target()

        def fail(name, offset, length):
            if name != 'read':
                raise OSError(errno.ENOSPC, '')

        self.server.hook = fail
        for call in (
            lambda: target.write(0, memoryview(b'x')),
            lambda: target.zero(0, MIB),
            target.flush,
        ):
            error = self.assertRaises(errors.TargetUnavailable, call)
            self.assertIn('No space left on device', str(error))
            self.assertIn('writing', str(error))
        self.server.hook = lambda *_: None
        target.write(0, memoryview(b'x'))
        target.flush()

    def test_lost_server_may_have_lost_what_was_written(self):
        for command, call in (
            ('write', lambda target: target.write(0, memoryview(b'x'))),
            ('zero', lambda target: target.zero(0, MIB)),
            ('read', self.read),
            ('flush', lambda target: target.flush()),
        ):
            target = self.target()
            target.write(5, memoryview(b'before'))
            self.break_once(command, self.hang_up)
            error = self.assertRaises(errors.TargetUnavailable, call, target)
            self.assertTrue(error.retryable)
            # The server is there again, but that counts for nothing.
            for later in (
                target.flush,
                lambda target=target: target.write(0, memoryview(b'x')),
                lambda target=target: target.zero(0, 1),
                lambda target=target: self.read(target),
            ):
                self.assertRaises(errors.TargetUnavailable, later)

    def test_lost_connection_that_nobody_uses_is_found_by_flush(self):
        target = self.target()
        both = threading.Barrier(2, timeout=10)
        self.server.hook = lambda name, *_: (
            both.wait() if name == 'write' else None
        )
        threads = [
            threading.Thread(
                target=target.write, args=(number, memoryview(b'x'))
            )
            for number in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(2, self.server.connections)
        target.flush()
        self.assertEqual(
            2, sum(name == 'flush' for name, *_ in self.server.calls)
        )
        self.server.stop()
        self.server.start()
        self.assertRaises(errors.TargetUnavailable, target.flush)

    def test_stopped_in_the_middle(self):
        ended = threading.Event()
        self.addCleanup(ended.set)
        stop = threading.Event()

        def check():
            if stop.is_set():
                raise test_nbd_source.Stopped

        target = self.target(check, timeout=600)
        self.server.hook = lambda name, *_: (
            ended.wait() if name == 'write' else None
        )
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        self.addCleanup(timer.join)
        self.assertRaises(
            test_nbd_source.Stopped, target.write, 0, memoryview(b'x')
        )
        stop.clear()
        self.assertRaises(errors.TargetUnavailable, target.flush)
