# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import socket
import threading
import time

import fixtures

from ebackup_service.production import dial
from tests import base


class Stopped(Exception):
    pass


def go_on():
    pass


class DialTestCase(base.BaseTestCase):
    def accepted(self, listener):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(BrokenPipeError):
            connection.sendall(b'hello')

    def read(self, descriptor):
        self.assertFalse(os.get_blocking(descriptor))
        with socket.socket(fileno=descriptor) as dialled:
            dialled.settimeout(10)
            return dialled.recv(5)

    def stopping(self):
        """A check that stops a while after it was first called."""
        calls = []

        def check():
            calls.append(1)
            if len(calls) > 1:
                raise Stopped

        return check


class TcpTest(DialTestCase):
    def test_connects_to_one_of_the_addresses(self):
        with socket.create_server(('127.0.0.1', 0)) as listener:
            thread = threading.Thread(target=self.accepted, args=(listener,))
            thread.start()
            self.addCleanup(thread.join)
            port = listener.getsockname()[1]
            descriptor = dial.tcp('localhost', port, 10, go_on)
            self.assertEqual(b'hello', self.read(descriptor))

    def test_nobody_listens(self):
        with socket.create_server(('127.0.0.1', 0)) as listener:
            port = listener.getsockname()[1]
        with self.leaves_nothing_open():
            self.assertRaises(
                ConnectionRefusedError, dial.tcp, '127.0.0.1', port, 10, go_on
            )

    def test_unknown_host(self):
        self.assertRaises(
            OSError, dial.tcp, 'no-such-host.invalid', 10809, 10, go_on
        )

    def test_nobody_answers(self):
        """A listener that doesn't accept, and whose queue is full."""
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen(0)
            place = listener.getsockname()
            queued = []
            for _ in range(3):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(place)
                queued.append(one)
                self.addCleanup(one.close)
            self.assertRaises(TimeoutError, dial.tcp, *place, 0.2, go_on)
            self.assertRaises(Stopped, dial.tcp, *place, 60, self.stopping())


class UnixTest(DialTestCase):
    def setUp(self):
        super().setUp()
        directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(directory, 'socket')

    def listener(self, backlog):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path)
        listener.listen(backlog)
        return listener

    def test_connects(self):
        listener = self.listener(1)
        thread = threading.Thread(target=self.accepted, args=(listener,))
        thread.start()
        self.addCleanup(thread.join)
        descriptor = dial.unix(self.path, 10, go_on)
        self.assertEqual(b'hello', self.read(descriptor))

    def test_nobody_is_there(self):
        self.assertRaises(FileNotFoundError, dial.unix, self.path, 10, go_on)

    def test_queue_is_full(self):
        listener = self.listener(0)
        os.close(dial.unix(self.path, 10, go_on))
        self.assertRaises(TimeoutError, dial.unix, self.path, 0.2, go_on)
        self.assertRaises(Stopped, dial.unix, self.path, 60, self.stopping())
        timer = threading.Timer(0.2, self.accepted, args=(listener,))
        timer.start()
        self.addCleanup(timer.join)
        started = time.monotonic()
        os.close(dial.unix(self.path, 10, go_on))
        self.assertLess(time.monotonic() - started, 5)
