# SPDX-License-Identifier: Apache-2.0
import errno
import threading
import time

from ebackup_service.production import base as contract
from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_extents
from ebackup_service.production import nbd_library
from ebackup_service.production import nbd_opener
from ebackup_service.production import nbd_source
from tests import base
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import hostile_nbd
from tests.unit.ebackup_service.production import nbd_servers

MIB = 1 << 20
SIZE = 4 * MIB
CONTENT = conformance.noise(SIZE)
DIRTY = 'qemu:dirty-bitmap:x'


class Stopped(Exception):
    """The job was told to stop."""


class HostileTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        nbd_servers.need()
        self.server = self.useFixture(hostile_nbd.HostileServer(CONTENT))
        self.address = nbd_address.Address('a', self.server.path, '', 0, False)

    def opener(self, check=lambda: None, **options):
        conf = nbd_servers.configuration(self.server.directory, **options)
        security = nbd_connection.Security('')
        return nbd_opener.Opener(conf, nbd_library.load(), security, check)

    def read(self, volume, offset=0, length=SIZE):
        buffer = memoryview(bytearray(length))
        return conformance.read(volume, offset, buffer)

    def break_once(self, command, breaking):
        """Do something at the first command of a kind."""
        broken = []

        def hook(name, offset, length):
            if name == command and not broken:
                broken.append(name)
                breaking()

        self.server.hook = hook

    def hang_up(self):
        raise hostile_nbd.HangUp

    def return_later(self):
        """The server dies, and is back a while later."""

        def die_and_return():
            self.server.stop()
            time.sleep(0.5)
            self.server.start()

        thread = threading.Thread(target=die_and_return)
        thread.start()
        self.addCleanup(thread.join)
        raise hostile_nbd.HangUp


class SourceTest(HostileTestCase):
    def source(self, check=lambda: None, dirty=None, **options):
        source = self.opener(check, **options).source(
            self.address, SIZE, dirty
        )
        self.addCleanup(source.close)
        return source

    def test_unaligned_reads_of_a_server_with_large_blocks(self):
        self.server.blocks = (4096, 4096, 1 << 25)
        source = self.source()
        self.assertEqual(CONTENT[5:9], self.read(source, 5, 4))
        self.assertEqual(
            CONTENT[4090 : MIB + 3], self.read(source, 4090, MIB + 3 - 4090)
        )
        self.assertEqual(
            [('read', 0, 4096), ('read', 0, MIB), ('read', MIB, 4096)],
            self.server.calls,
        )

    def test_lost_connection_is_made_again(self):
        source = self.source()
        self.break_once('read', self.hang_up)
        self.assertEqual(CONTENT, self.read(source))
        self.assertEqual(2, self.server.connections)

    def test_server_that_comes_back_is_read_on(self):
        source = self.source()
        self.break_once('read', self.return_later)
        self.assertEqual(CONTENT, self.read(source))

    def test_extents_go_on_where_the_server_was_lost(self):
        told = [(MIB, 0), (MIB, 3)]
        self.server.contexts[nbd_extents.ALLOCATION] = lambda offset, length: [
            [told[offset // MIB % 2]]
        ]
        source = self.source()
        data = contract.ExtentKind.DATA
        expected = [
            contract.Extent(0, MIB, data),
            contract.Extent(2 * MIB, MIB, data),
        ]
        self.assertEqual(expected, list(source.extents()))
        self.break_once('status', self.return_later)
        self.assertEqual(expected, list(source.extents()))

    def test_server_that_does_not_come_back(self):
        source = self.source(outage=0.3)
        self.server.stop()
        started = time.monotonic()
        error = self.assertRaises(errors.SourceUnavailable, self.read, source)
        self.assertTrue(error.retryable)
        self.assertIn(self.server.path, str(error))
        self.assertLess(time.monotonic() - started, 5)
        self.server.start()

    def test_server_that_hangs_on_every_read(self):
        ended = threading.Event()
        self.addCleanup(ended.set)
        source = self.source(timeout=1, outage=0.3)
        self.server.hook = lambda *_: ended.wait()
        error = self.assertRaises(errors.SourceUnavailable, self.read, source)
        self.assertIn('no answer', str(error))

    def test_another_size_after_it_came_back(self):
        for change in (
            {'size': SIZE // 2},
            {'blocks': (512, 512, 1 << 25)},
            {'contexts': {}},
        ):
            server = self.server
            server.contexts = {
                nbd_extents.ALLOCATION: lambda offset, length: [[(length, 0)]]
            }
            server.size, server.blocks = SIZE, None
            source = self.source()
            for name, value in change.items():
                setattr(server, name, value)
            server.hang_up()
            error = self.assertRaises(
                errors.SourceUnavailable, self.read, source
            )
            self.assertIn('not what it was', str(error))

    def test_bitmap_is_gone_after_it_came_back(self):
        for action in (self.read, lambda source: list(source.extents())):
            self.server.contexts = {
                name: lambda offset, length: [[(length, 0)]]
                for name in (nbd_extents.ALLOCATION, DIRTY)
            }
            source = self.source(dirty=DIRTY)
            del self.server.contexts[DIRTY]
            self.server.hang_up()
            error = self.assertRaises(
                errors.DifferenceUnavailable, action, source
            )
            self.assertIn(DIRTY, str(error))

    def test_export_is_gone_after_it_came_back(self):
        daemon = self.useFixture(nbd_servers.QemuNbd(SIZE))
        self.address = nbd_address.Address(
            nbd_servers.NAME, daemon.socket, '', 0, False
        )
        source = self.source(outage=0.3)
        self.read(source)
        daemon.kill()
        daemon.command = lambda: [
            *('qemu-nbd', '-t', '-x', 'other', '-k', daemon.socket),
            *('-f', 'qcow2', daemon.image),
        ]
        daemon.start()
        error = self.assertRaises(errors.SourceUnavailable, self.read, source)
        self.assertIn('is no export', str(error))

    def test_error_of_the_storage_behind(self):
        def fail(name, offset, length):
            if name in ('read', 'status'):
                raise OSError(errno.EIO, '')

        self.server.contexts[nbd_extents.ALLOCATION] = None
        source = self.source()
        self.server.hook = fail
        for call in (
            lambda: self.read(source),
            lambda: list(source.extents()),
        ):
            error = self.assertRaises(errors.SourceUnavailable, call)
            self.assertIn('Input/output error', str(error))
        self.server.hook = lambda *_: None
        self.assertEqual(CONTENT, self.read(source))
        self.assertEqual(1, self.server.connections)

    def test_stopped_while_the_server_is_away_or_hangs(self):
        ended = threading.Event()
        self.addCleanup(ended.set)
        stop = threading.Event()

        def check():
            if stop.is_set():
                raise Stopped

        for trouble in (
            lambda: self.server.stop(),
            lambda: setattr(self.server, 'hook', lambda *_: ended.wait()),
        ):
            stop.clear()
            source = self.source(check, outage=600, timeout=600)
            trouble()
            timer = threading.Timer(0.3, stop.set)
            timer.start()
            self.addCleanup(timer.join)
            started = time.monotonic()
            self.assertRaises(Stopped, self.read, source)
            self.assertLess(time.monotonic() - started, 5)
            if trouble is not None:
                self.server.stop()
                self.server.start()

    def test_malformed_extents(self):
        for told in (
            [[(SIZE + 1, 0)]],
            [[]],
            [],
            [[(SIZE, 0)], [(SIZE, 0)]],
            [[(0, 0)]],
        ):
            self.server.contexts = {
                name: lambda offset, length, told=told: told
                for name in (nbd_extents.ALLOCATION, DIRTY)
            }
            # libnbd finds some of it, and takes the server for lost.
            for dirty, error in (
                (None, errors.ExtentsInvalid),
                (DIRTY, errors.DifferenceUnavailable),
            ):
                source = self.source(dirty=dirty, outage=0.1)
                self.assertRaises(
                    (error, errors.SourceUnavailable),
                    lambda source=source: list(source.extents()),
                )

    def test_several_connections_where_the_server_allows_them(self):
        both = threading.Barrier(2, timeout=10)
        self.server.hook = lambda name, offset, length: (
            both.wait() if name == 'read' else None
        )
        source = self.source()
        found = []

        def read(number):
            found.append(self.read(source, number * MIB, MIB))

        threads = [
            threading.Thread(target=read, args=(number,))
            for number in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({CONTENT[:MIB], CONTENT[MIB : 2 * MIB]}, {*found})
        self.assertEqual(2, self.server.connections)

    def test_one_connection_where_it_does_not(self):
        self.server.flags &= ~hostile_nbd.MULTI
        source = self.source()
        threads = [
            threading.Thread(target=self.read, args=(source,))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(1, self.server.connections)

    def test_released_once(self):
        released = []
        source = self.opener().source(
            self.address, SIZE, release=lambda: released.append(1)
        )
        source.close()
        source.close()
        self.assertEqual([1], released)


class WidenedTest(base.BaseTestCase):
    def test_to_whole_blocks(self):
        for offset, length, expected in (
            (0, 0, (0, 0)),
            (0, 512, (0, 512)),
            (1, 511, (0, 512)),
            (511, 2, (0, 1024)),
            (512, 1, (512, 1024)),
        ):
            self.assertEqual(expected, nbd_source.widened(offset, length, 512))
