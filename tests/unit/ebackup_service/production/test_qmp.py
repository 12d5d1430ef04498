# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import os
import socket
import threading
import time

import fixtures

from ebackup_service.production import errors
from ebackup_service.production import qmp
from tests import base

GREETING = {'QMP': {'version': {}, 'capabilities': []}}
MINE = b'the-id-of-the-command'
FOREVER = b'forever:'


class Stopped(Exception):
    pass


class FakeQemu(fixtures.Fixture):
    """A monitor that answers as it is told.

    :ivar answers: bytes for each command, the greeting first; None: silence;
        what begins with FOREVER is said again and again
    :ivar commands: what it was told, without ids
    """

    def _setUp(self):
        directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(directory, 'qmp.sock')
        self.answers = [line(GREETING), answer({'return': {}})]
        self.commands = []
        self._listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self._listener.close)
        self._listener.bind(self.path)
        self._listener.listen(4)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.addCleanup(self._stop)

    def _stop(self):
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _serve(self):
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with (
                connection,
                contextlib.suppress(OSError),
                connection.makefile('rb') as lines,
            ):
                self._talk(connection, lines)

    def _talk(self, connection, lines):
        for number, said in enumerate(self.answers):
            if number:
                command = json.loads(lines.readline())
                name = command.pop('id').encode()
                self.commands.append(command)
            if said is None:
                self._ended.wait()
            elif said.startswith(FOREVER):
                while not self._ended.is_set():
                    connection.sendall(said.removeprefix(FOREVER))
            else:
                if number:
                    said = said.replace(MINE, name)
                connection.sendall(said)


def answer(value) -> bytes:
    return line({'id': MINE.decode(), **value})


def line(value) -> bytes:
    return json.dumps(value).encode() + b'\r\n'


class MonitorTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.qemu = self.useFixture(FakeQemu())

    def monitor(self, timeout=10, check=lambda: None):
        monitor = qmp.Monitor(self.qemu.path, timeout, check)
        self.addCleanup(monitor.close)
        return monitor

    def test_commands_and_events(self):
        self.qemu.answers.append(
            line({'event': 'X'})
            + line({'event': 'Y'})
            + answer({'return': [1]})
        )
        monitor = self.monitor()
        self.assertEqual([1], monitor.execute('do-it', node_name='a', b=2))
        self.assertEqual(
            [
                {'execute': 'qmp_capabilities', 'arguments': {}},
                {
                    'execute': 'do-it',
                    'arguments': {'node-name': 'a', 'b': 2},
                },
            ],
            self.qemu.commands,
        )

    def test_what_an_earlier_client_was_to_get(self):
        """It may come before the greeting, its first line in part, or late."""
        self.qemu.answers[0] = (
            b'ole": "x"}]}\r\n' + line({'event': 'X'}) + line(GREETING)
        )
        self.qemu.answers.append(
            line({'return': 1, 'id': 'another'})
            + line({'return': 2})
            + line({'error': {'desc': 'no'}, 'id': 'another'})
            + answer({'return': 3})
        )
        self.assertEqual(3, self.monitor().execute('do-it'))

    def test_one_that_never_greets(self):
        self.qemu.answers = [FOREVER + line({'event': 'X'})]
        error = self.assertRaises(errors.SourceUnavailable, self.monitor, 1)
        self.assertIn('greeting', str(error))

    def test_long_answer(self):
        self.qemu.answers.append(answer({'return': 'x' * 1_000_000}))
        self.assertEqual(1_000_000, len(self.monitor().execute('tell')))

    def test_error(self):
        self.qemu.answers += [
            answer({'error': {'class': 'GenericError', 'desc': 'no node'}}),
            answer({'return': 3}),
        ]
        monitor = self.monitor()
        error = self.assertRaises(qmp.Refused, monitor.execute, 'do-it')
        self.assertEqual('no node', str(error))
        self.assertEqual(3, monitor.execute('another'))

    def test_command_that_qemu_can_not_parse(self):
        self.qemu.answers.append(line({'error': {'desc': 'JSON parse error'}}))
        self.assertRaises(qmp.Refused, self.monitor().execute, 'do-it')

    def test_what_is_no_qmp(self):
        for greeting in (
            b'220 mail.example ESMTP\r\n',
            b'[1]\n',
            b'{"hello": 1}\n',
            b'\xff\xfe\n',
            b'',
        ):
            self.qemu.answers = [greeting]
            error = self.assertRaises(errors.SourceUnavailable, self.monitor)
            self.assertIn('qmp.sock', str(error))

    def test_answer_without_an_end(self):
        self.useFixture(fixtures.MockPatchObject(qmp, '_LONGEST', 1 << 16))
        self.qemu.answers.append(b'x' * (1 << 18))
        monitor = self.monitor()
        self.assertRaises(errors.SourceUnavailable, monitor.execute, 'tell')

    def test_silence(self):
        for answers in ([None], [line(GREETING), None]):
            self.qemu.answers = answers
            error = self.assertRaises(
                errors.SourceUnavailable, self.monitor, 0.2
            )
            self.assertIn('no answer', str(error))
            # The thread that is silent serves nobody else.
            self.qemu = self.useFixture(FakeQemu())

    def test_stopped_while_it_is_silent(self):
        self.qemu.answers.append(None)
        stop = threading.Event()

        def check():
            if stop.is_set():
                raise Stopped

        monitor = self.monitor(600, check)
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        self.addCleanup(timer.join)
        started = time.monotonic()
        self.assertRaises(Stopped, monitor.execute, 'tell')
        self.assertLess(time.monotonic() - started, 5)

    def test_nobody_is_there(self):
        os.unlink(self.qemu.path)
        error = self.assertRaises(errors.SourceUnavailable, self.monitor)
        self.assertIn('No such file', str(error))

    def test_socket_is_forbidden(self):
        self.useFixture(
            fixtures.MockPatch(
                'ebackup_service.production.dial.unix',
                side_effect=PermissionError,
            )
        )
        self.assertRaises(errors.AccessDenied, self.monitor)

    def test_leaves_nothing_open(self):
        self.qemu.answers.append(answer({'error': {'desc': 'no'}}))
        with self.leaves_nothing_open():
            with contextlib.suppress(qmp.Refused), self.monitor() as monitor:
                monitor.execute('do-it')
            monitor.close()
