# SPDX-License-Identifier: Apache-2.0
import socket
import threading

from ebackup_driver import causes
from ebackup_driver import errors
from tests import base
from tests.unit.ebackup_driver import test_transport


class Listener:
    """Accepts connections and does something with each."""

    def __init__(self, test, action):
        self._socket = socket.create_server(('127.0.0.1', 0))
        test.addCleanup(self._socket.close)
        self.port = self._socket.getsockname()[1]
        self._action = action
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._action(connection)


class TestCauses(base.BaseTestCase):
    def cause(self, url):
        transport = test_transport.connect(url)
        error = self.assertRaises(
            errors.ServiceUnreachable, transport.send, 'GET', '/'
        )
        return str(error)

    def test_a_refused_connection(self):
        with socket.create_server(('127.0.0.1', 0)) as unused:
            port = unused.getsockname()[1]
        self.assertEqual(
            f'Connection refused: no connection to http://127.0.0.1:{port}',
            self.cause(f'http://127.0.0.1:{port}'),
        )

    def test_an_unknown_host(self):
        message = self.cause('http://ebackup.invalid:8790')
        self.assertTrue(
            message.endswith(': no connection to http://ebackup.invalid:8790')
        )
        self.assertNotIn('HTTPConnectionPool', message)

    def test_a_connection_that_is_closed(self):
        listener = Listener(self, lambda c: c.recv(4096))
        self.assertRegex(
            self.cause(f'http://127.0.0.1:{listener.port}'),
            '^Connection closed without an answer',
        )

    def test_an_answer_that_breaks_off(self):
        def action(connection):
            connection.recv(4096)
            connection.sendall(
                b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{'
            )

        listener = Listener(self, action)
        self.assertIn(
            f'http://127.0.0.1:{listener.port}',
            self.cause(f'http://127.0.0.1:{listener.port}'),
        )

    def test_plain_text_where_tls_is_expected(self):
        listener = Listener(self, lambda c: c.sendall(b'HTTP/1.1 400\r\n'))
        message = self.cause(f'https://127.0.0.1:{listener.port}')
        self.assertIn(f'https://127.0.0.1:{listener.port}', message)

    def test_credentials_in_an_url_are_not_shown(self):
        self.assertEqual(
            'https://host:1', causes.place('https://user:s3cret@host:1/path')
        )
