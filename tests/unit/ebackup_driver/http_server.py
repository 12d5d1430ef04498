# SPDX-License-Identifier: Apache-2.0
"""Serves a WSGI application on a loopback socket of its own."""

import socketserver
import threading
from wsgiref import simple_server

import fixtures


class _Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    # The default of 5 is too few for the tests that send many at once.
    request_queue_size = 64


class _Handler(simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass


class HttpServer(fixtures.Fixture):
    """url: where it listens; stop() and start() keep the port."""

    def __init__(self, application):
        super().__init__()
        self._application = application
        self._server = None
        self._port = 0

    def _setUp(self):
        self.start()
        self.addCleanup(self.stop)

    @property
    def url(self):
        return f'http://127.0.0.1:{self._port}'

    def start(self):
        self._server = simple_server.make_server(
            '127.0.0.1', self._port, self._application, _Server, _Handler
        )
        self._port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def stop(self):
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = None
