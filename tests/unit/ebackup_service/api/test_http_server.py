# SPDX-License-Identifier: Apache-2.0
import http.client
import json
import socket
import threading
import time

import fixtures

from ebackup_service.api import http_server
from ebackup_service import conf as service_conf
from tests import base


class HttpServerTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = service_conf.new()
        for name, value in (
            ('port', 0),
            ('threads', 2),
            ('max_request_body', 5000),
            ('shutdown_timeout', 30),
        ):
            self.conf.set_override(name, value, group='api')
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.addCleanup(self.leave.set)

    def _app(self, environ, start_response):
        body = environ['wsgi.input'].read()
        if environ['PATH_INFO'] == '/slow':
            self.entered.set()
            self.leave.wait(30)
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [str(len(body)).encode()]

    def _start(self):
        server = http_server.HttpServer(self.conf, self._app)
        server.start()
        self.addCleanup(server.stop)
        return server

    def _connect(self, server):
        connection = http.client.HTTPConnection(
            '127.0.0.1', server.port, timeout=30
        )
        self.addCleanup(connection.close)
        return connection

    def _get(self, server, path='/', body=None):
        connection = self._connect(server)
        connection.request('GET', path, body)
        response = connection.getresponse()
        return response.status, response.read()

    def test_requests_are_answered(self):
        server = self._start()
        self.assertEqual((200, b'3'), self._get(server, body=b'abc'))

    def test_huge_body_is_refused_before_it_comes(self):
        connection = self._connect(self._start())
        connection.putrequest('PUT', '/')
        connection.putheader('Content-Length', str(2**40))
        connection.endheaders()
        response = connection.getresponse()
        self.assertEqual(413, response.status)
        error = json.loads(response.read())['error']
        self.assertEqual(413, error['code'])
        self.assertEqual('body-too-large', error['kind'])

    def test_huge_body_in_chunks_is_refused_while_it_comes(self):
        server = self._start()
        with socket.create_connection(('127.0.0.1', server.port)) as raw:
            raw.settimeout(30)
            # At once, and without an end: what is sent after the refusal
            # breaks the connection.
            raw.sendall(
                b'PUT / HTTP/1.1\r\nHost: a\r\n'
                b'Transfer-Encoding: chunked\r\n\r\n'
                + b'3e8\r\n%b\r\n'
                % (b'x' * 1000)
                * 6
            )
            head, _, body = raw.makefile('rb').read().partition(b'\r\n\r\n')
        self.assertIn(b' 413 ', head)
        error = json.loads(body)['error']
        self.assertEqual('body-too-large', error['kind'])

    def test_what_is_not_http_is_400_in_json(self):
        server = self._start()
        with socket.create_connection(('127.0.0.1', server.port)) as raw:
            raw.settimeout(30)
            raw.sendall(b'GET / HTTP/1.1\r\nbad header\r\n\r\n')
            head, _, body = raw.makefile('rb').read().partition(b'\r\n\r\n')
        self.assertIn(b'400', head)
        self.assertEqual(400, json.loads(body)['error']['code'])

    def test_address_in_use_is_noticed_at_once(self):
        server = self._start()
        self.conf.set_override('port', server.port, group='api')
        error = self.assertRaises(
            OSError, http_server.HttpServer, self.conf, self._app
        )
        self.assertEqual(
            f'the API cannot listen on 127.0.0.1 port {server.port}: Address '
            'already in use; see [api]host and [api]port',
            str(error),
        )

    def test_host_without_an_address_is_named(self):
        self.conf.set_override('host', 'nowhere.invalid', group='api')
        error = self.assertRaises(
            OSError, http_server.HttpServer, self.conf, self._app
        )
        self.assertIn('cannot listen on nowhere.invalid port 0', str(error))

    def test_stop_lets_a_running_request_end(self):
        server = self._start()
        answers = []
        client = threading.Thread(
            target=lambda: answers.append(self._get(server, '/slow'))
        )
        client.start()
        self.entered.wait(30)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        self._wait_until_refused(server)
        self.leave.set()
        client.join(30)
        stopper.join(30)
        self.assertEqual([(200, b'0')], answers)

    def _wait_until_refused(self, server):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(('127.0.0.1', server.port)).close()
            except ConnectionResetError:
                pass  # it came just before the end of the listening
            except ConnectionRefusedError:
                return
        self.fail('new connections are still accepted')

    def test_stop_does_not_wait_for_ever(self):
        self.conf.set_override('shutdown_timeout', 0, group='api')
        self.useFixture(fixtures.FakeLogger())
        server = self._start()
        connection = self._connect(server)
        connection.request('GET', '/slow')
        self.entered.wait(30)
        begun = time.monotonic()
        server.stop()
        self.assertLess(time.monotonic() - begun, 10)
        self.assertRaises(
            (OSError, http.client.HTTPException), connection.getresponse
        )

    def test_idle_connection_does_not_delay_the_stop(self):
        server = self._start()
        connection = self._connect(server)
        connection.request('GET', '/')
        connection.getresponse().read()
        begun = time.monotonic()
        server.stop()
        self.assertLess(time.monotonic() - begun, 10)
