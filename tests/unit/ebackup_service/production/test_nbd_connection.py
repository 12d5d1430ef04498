# SPDX-License-Identifier: Apache-2.0
import errno
import os
import shutil
import socket
import subprocess
import threading
import time

import fixtures

from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_library
from tests import base
from tests import environment
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import hostile_nbd
from tests.unit.ebackup_service.production import nbd_servers

MIB = 1 << 20
SIZE = 8 * MIB


class Stopped(Exception):
    """The job was told to stop."""


class HostileTestCase(base.BaseTestCase):
    CONTENT = conformance.noise(SIZE)

    def setUp(self):
        super().setUp()
        nbd_servers.need()
        self.server = self.useFixture(hostile_nbd.HostileServer(self.CONTENT))

    def connection(self, contexts=(), timeout=10, check=lambda: None):
        connection = nbd_connection.Connection(
            nbd_library.load(),
            nbd_address.Address('a', self.server.path, '', 0, False),
            contexts,
            nbd_connection.Security(''),
            timeout,
            check,
        )
        self.addCleanup(connection.close)
        return connection

    def hang(self, command='read'):
        """Let the server hang at a command until the test ends."""
        ended = threading.Event()
        self.addCleanup(ended.set)
        self.server.hook = lambda name, offset, length: (
            ended.wait() if name == command else None
        )


class ConnectionTest(HostileTestCase):
    def test_reads_in_pieces(self):
        connection = self.connection()
        buffer = memoryview(bytearray(SIZE))
        connection.read(0, buffer)
        self.assertEqual(self.CONTENT, bytes(buffer))
        self.assertEqual(
            [('read', offset, MIB) for offset in range(0, SIZE, MIB)],
            self.server.calls,
        )

    def test_pieces_are_as_large_as_the_server_wants_them(self):
        self.server.blocks = (512, 1024, 3 * 512)
        connection = self.connection()
        buffer = memoryview(bytearray(4096))
        connection.read(512, buffer)
        self.assertEqual(self.CONTENT[512 : 512 + 4096], bytes(buffer))
        self.assertEqual(
            [('read', 512, 1536), ('read', 2048, 1536), ('read', 3584, 1024)],
            self.server.calls,
        )

    def test_writes_and_zeroes(self):
        connection = self.connection()
        connection.write(3, memoryview(b'x' * MIB))
        connection.zero(MIB, 5)
        connection.flush()
        self.assertEqual(
            self.CONTENT[:3] + b'x' * (MIB - 3) + bytes(5),
            bytes(self.server.content[: MIB + 5]),
        )
        self.assertEqual(
            ['write', 'zero', 'flush'],
            [name for name, *_ in self.server.calls],
        )

    def test_zeros_are_written_where_they_can_not_be_made(self):
        self.server.flags &= ~hostile_nbd.ZEROES
        self.connection().zero(1, 2 * MIB + 2)
        self.assertEqual(
            bytes(2 * MIB + 2), bytes(self.server.content[1 : 2 * MIB + 3])
        )
        self.assertEqual(
            [
                ('write', 1, MIB),
                ('write', 1 + MIB, MIB),
                ('write', 1 + SIZE // 4, 2),
            ],
            self.server.calls,
        )

    def test_nothing_is_sent_once_the_job_has_to_stop(self):
        stop = threading.Event()

        def check():
            if stop.is_set():
                raise Stopped

        connection = self.connection(check=check)
        stop.set()
        for call in (
            lambda: connection.write(0, memoryview(b'x')),
            lambda: connection.zero(0, MIB),
        ):
            self.assertRaises(Stopped, call)
            self.assertEqual(0, connection._handle.aio_in_flight())

    def test_error_leaves_the_connection_good(self):
        def fail(name, offset, length):
            if offset == 2 * MIB:
                raise OSError(errno.EIO, '')

        self.server.hook = fail
        connection = self.connection()
        buffer = memoryview(bytearray(SIZE))
        error = self.assertRaises(
            nbd_connection.Refused, connection.read, 0, buffer
        )
        self.assertEqual('Input/output error', str(error))
        connection.read(0, buffer[:MIB])
        self.assertEqual(self.CONTENT[:MIB], bytes(buffer[:MIB]))
        for call in (
            lambda: connection.write(2 * MIB, memoryview(b'x')),
            lambda: connection.zero(2 * MIB, 1),
            lambda: connection.block_status(2 * MIB, 1),
        ):
            self.assertRaises(nbd_connection.Refused, call)

    def test_what_libnbd_refuses_is_refused(self):
        connection = self.connection()
        buffer = memoryview(bytearray(2))
        self.assertRaises(
            nbd_connection.Refused, connection.read, SIZE - 1, buffer
        )
        connection.read(SIZE - 2, buffer)

    def test_server_hangs_up(self):
        def hang_up(name, offset, length):
            if name == 'read':
                raise hostile_nbd.HangUp

        self.server.hook = hang_up
        connection = self.connection()
        buffer = memoryview(bytearray(SIZE))
        self.assertRaises(nbd_connection.Lost, connection.read, 0, buffer)

    def test_server_hangs_up_while_greeting(self):
        def hang_up(name, offset, length):
            raise hostile_nbd.HangUp

        self.server.hook = hang_up
        self.assertRaises(nbd_connection.Lost, self.connection)

    def test_server_is_not_there(self):
        self.server.stop()
        error = self.assertRaises(nbd_connection.Lost, self.connection)
        self.assertIn('No such file', str(error))

    def test_server_that_never_answers(self):
        for command in ('greet', 'read'):
            self.hang(command)
            error = self.assertRaises(
                nbd_connection.Lost,
                lambda: self.connection(timeout=0.3).read(
                    0, memoryview(bytearray(1))
                ),
            )
            self.assertIn('no answer', str(error))

    def test_slow_answers_are_waited_for(self):
        self.server.hook = lambda name, offset, length: time.sleep(0.2)
        connection = self.connection(timeout=1)
        buffer = memoryview(bytearray(SIZE))
        connection.read(0, buffer)
        self.assertEqual(self.CONTENT, bytes(buffer))

    def test_job_is_stopped_while_the_server_hangs(self):
        for command in ('greet', 'read'):
            self.hang(command)
            stop = threading.Event()

            def check(stop=stop):
                if stop.is_set():
                    raise Stopped

            timer = threading.Timer(0.2, stop.set)
            timer.start()
            self.addCleanup(timer.join)
            started = time.monotonic()
            self.assertRaises(
                Stopped,
                lambda: self.connection(timeout=600, check=check).read(
                    0, memoryview(bytearray(1))
                ),
            )
            self.assertLess(time.monotonic() - started, 5)

    def test_export_is_forbidden(self):
        self.server.deny = True
        self.assertRaises(errors.AccessDenied, self.connection)

    def test_socket_is_forbidden(self):
        if os.geteuid():
            os.chmod(self.server.path, 0)
        else:
            self.useFixture(
                fixtures.MockPatch(
                    'ebackup_service.production.dial.unix',
                    side_effect=PermissionError,
                )
            )
        error = self.assertRaises(errors.AccessDenied, self.connection)
        self.assertIn(self.server.path, str(error))

    def test_contexts_that_the_server_has(self):
        self.server.contexts['b'] = lambda offset, length: [[(length, 0)]]
        connection = self.connection(['a', 'b'])
        self.assertEqual(['b'], connection.contexts)
        self.assertEqual([('b', 5, [7, 0])], connection.block_status(5, 7))

    def test_closed_twice(self):
        connection = self.connection()
        connection.close()
        connection.close()


class TcpServer(nbd_servers.QemuNbd):
    def __init__(self, port, *arguments):
        super().__init__(MIB, *arguments)
        self.port = port

    def command(self):
        command = super().command()
        place = command.index('-k')
        command[place : place + 2] = ['-b', '127.0.0.1', '-p', str(self.port)]
        return command

    def answers(self):
        with socket.socket() as tried:
            return not tried.connect_ex(('127.0.0.1', self.port))


def free_port():
    with socket.socket() as bound:
        bound.bind(('127.0.0.1', 0))
        return bound.getsockname()[1]


class TcpTest(base.BaseTestCase):
    def test_host_and_port(self):
        nbd_servers.need()
        port = free_port()
        server = self.useFixture(TcpServer(port))

        def connection(host, port):
            connection = nbd_connection.Connection(
                nbd_library.load(),
                nbd_address.Address(nbd_servers.NAME, '', host, port, False),
                (),
                nbd_connection.Security(''),
                10,
                lambda: None,
            )
            self.addCleanup(connection.close)
            return connection

        self.assertEqual(MIB, connection('localhost', port).size)
        server.stop()
        for host in ('127.0.0.1', 'no-such-host.invalid'):
            self.assertRaises(nbd_connection.Lost, connection, host, port)


class TlsTest(base.BaseTestCase):
    """A key that both know."""

    KEY = '0123456789abcdef' * 4

    def setUp(self):
        super().setUp()
        nbd_servers.need()
        directory = self.useFixture(fixtures.TempDir()).path
        with open(os.path.join(directory, 'keys.psk'), 'w') as file:
            file.write(f'backup:{self.KEY}\n')
        self.server = self.useFixture(
            nbd_servers.QemuNbd(
                MIB,
                '--object',
                f'tls-creds-psk,id=tls,endpoint=server,dir={directory}',
                '--tls-creds',
                'tls',
            )
        )

    def connection(self, tls=True, identity='backup', key=KEY):
        connection = nbd_connection.Connection(
            nbd_library.load(),
            nbd_address.Address(
                nbd_servers.NAME, self.server.socket, '', 0, tls
            ),
            (),
            nbd_connection.Security('', identity, key),
            10,
            lambda: None,
        )
        self.addCleanup(connection.close)
        return connection

    def test_right_key(self):
        with self.leaves_nothing_open():
            connection = self.connection()
            self.assertEqual(MIB, connection.size)
            connection.close()

    def test_wrong_key(self):
        for identity, key in (
            ('backup', self.KEY.replace('0', '1')),
            ('other', self.KEY),
        ):
            error = self.assertRaises(
                nbd_connection.KeyRefused, self.connection, True, identity, key
            )
            self.assertNotIn(key, str(error))
            # Other volumes may have other servers.
            self.assertEqual('access-denied', error.kind)

    def denied(self, *arguments):
        """Refused, but not the key."""
        error = self.assertRaises(
            errors.AccessDenied, self.connection, *arguments
        )
        self.assertEqual('access-denied', error.kind)

    def test_no_key(self):
        self.denied(False)

    def test_server_without_tls(self):
        self.server.stop()
        self.server.arguments = ()
        self.server.start()
        self.denied()


class CertificateTest(base.BaseTestCase):
    """The server shows a certificate, of an authority that we know."""

    def setUp(self):
        super().setUp()
        nbd_servers.need()
        if not shutil.which('openssl'):
            environment.lacks('openssl is not installed')
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.make('ca', '-subj', '/CN=authority')
        self.make(
            'server',
            *('-subj', '/CN=localhost', '-CA', 'ca-cert.pem'),
            *('-CAkey', 'ca-key.pem'),
            *('-addext', 'subjectAltName=DNS:localhost'),
            *('-addext', 'basicConstraints=critical,CA:FALSE'),
        )
        self.port = free_port()
        self.server = self.useFixture(
            TcpServer(
                self.port,
                '--object',
                f'tls-creds-x509,id=tls,endpoint=server,verify-peer=off,'
                f'dir={self.directory}',
                '--tls-creds',
                'tls',
            )
        )

    def make(self, name, *arguments):
        subprocess.run(
            [
                *('openssl', 'req', '-x509', '-nodes', '-newkey', 'rsa:2048'),
                *('-keyout', f'{name}-key.pem', '-out', f'{name}-cert.pem'),
                *('-days', '2', *arguments),
            ],
            cwd=self.directory,
            check=True,
            capture_output=True,
        )

    def connection(self, host, certificates):
        connection = nbd_connection.Connection(
            nbd_library.load(),
            nbd_address.Address(nbd_servers.NAME, '', host, self.port, True),
            (),
            nbd_connection.Security(certificates),
            10,
            lambda: None,
        )
        self.addCleanup(connection.close)
        return connection

    def test_known_authority(self):
        connection = self.connection('localhost', self.directory)
        self.assertEqual(MIB, connection.size)

    def test_unknown_authority(self):
        other = self.useFixture(fixtures.TempDir()).path
        self.assertRaises(
            errors.AccessDenied, self.connection, 'localhost', other
        )
        self.make('ca', '-subj', '/CN=another')
        error = self.assertRaises(
            errors.AccessDenied, self.connection, 'localhost', self.directory
        )
        # It is the certificates of this host that do not fit.
        self.assertEqual('access-denied', error.kind)

    def test_certificate_of_another_host(self):
        self.assertRaises(
            errors.AccessDenied, self.connection, '127.0.0.1', self.directory
        )
