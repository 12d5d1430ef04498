# SPDX-License-Identifier: Apache-2.0
"""Serves the application over HTTP from a thread of this process."""

from collections.abc import Callable
import json
import logging
import threading
import time
from typing import Any

from oslo_config import cfg
import waitress
from waitress import channel
from waitress import server
from waitress import task
from waitress import wasyncore

LOG = logging.getLogger(__name__)
# Seconds within which the loop looks at a flag though nothing happened.
PATIENCE = 0.5


class HttpServer:
    """Listens from its making on, answers between start() and stop().

    One thread runs waitress's loop and touches the sockets, ``threads`` run
    the application. stop() only raises a flag for the loop and waits.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        app: Any,
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        """Raises OSError if the address is in use or not of this host.

        :param hurry: called by stop(): no request waits any longer
        """
        self._hurry = hurry
        self._grace = conf.api.shutdown_timeout
        self._map: dict[int, Any] = {}
        try:
            self._server = waitress.create_server(
                app,
                map=self._map,
                host=conf.api.host,
                port=conf.api.port,
                threads=conf.api.threads,
                # What is larger is not even received.
                max_request_body_size=conf.api.max_request_body,
                connection_limit=conf.api.max_connections,
                # Left to [oslo_middleware]enable_proxy_headers_parsing.
                clear_untrusted_proxy_headers=False,
                ident=None,
            )
        except (OSError, ValueError) as error:
            # The latter for a host that has no address.
            reason = getattr(error, 'strerror', None) or error
            raise OSError(
                f'the API cannot listen on {conf.api.host} port '
                f'{conf.api.port}: {reason}; see [api]host and [api]port'
            ) from error
        self._listeners = [
            listener
            for listener in self._map.values()
            if isinstance(listener, server.BaseWSGIServer)
        ]
        for listener in self._listeners:
            listener.channel_class = _Channel
        self.port = int(self._listeners[0].effective_port)
        self._stopping = threading.Event()
        self._loop = threading.Thread(
            target=self._serve, name='http', daemon=True
        )

    def start(self) -> None:
        self._loop.start()
        for listener in self._listeners:
            LOG.info(
                'Listening on %s port %s',
                listener.effective_host,
                listener.effective_port,
            )

    def stop(self) -> None:
        """Refuse new connections, let requests end, close what remains.

        Returns within [api]shutdown_timeout and a little.
        """
        self._hurry()
        self._stopping.set()
        self._loop.join(self._grace + 4 * PATIENCE)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._turn()
        for listener in self._listeners:
            wasyncore.dispatcher.close(listener)
        deadline = time.monotonic() + self._grace
        while self._busy() and time.monotonic() < deadline:
            self._turn()
        self._server.task_dispatcher.shutdown(timeout=PATIENCE)
        wasyncore.close_all(self._map)

    def _turn(self) -> None:
        wasyncore.loop(timeout=PATIENCE, use_poll=True, map=self._map, count=1)

    def _busy(self) -> bool:
        return any(
            connection.requests or connection.total_outbufs_len
            for listener in self._listeners
            for connection in listener.active_channels.values()
        )


class _ErrorTask(task.ErrorTask):
    """Answers requests that never reach the application, in our words."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps(
            {
                'error': {
                    'code': error.code,
                    'kind': _KINDS.get(error.code, 'bad-request'),
                    'message': f'the request is refused: {error.body}',
                }
            }
        ).encode()
        self.status = f'{error.code} {error.reason}'
        self.response_headers.append(('Content-Type', 'application/json'))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


_KINDS = {413: 'body-too-large', 500: 'internal-error'}


class _Channel(channel.HTTPChannel):
    error_task_class = _ErrorTask
