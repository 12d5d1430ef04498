# SPDX-License-Identifier: Apache-2.0
"""One line in the log for each request."""

import logging
import time
import urllib.parse

import webob
import webob.dec

LOG = logging.getLogger(__name__)


class AccessLog:
    """Logs method, path, status and seconds.

    Polling would drown everything else: successful reads and heartbeats are
    logged at debug level only. Queries and bodies are never logged.
    """

    def __init__(self, app: webob.dec.wsgify) -> None:
        self._app = app

    @webob.dec.wsgify
    def __call__(self, req: webob.Request) -> webob.Response:
        begun = time.monotonic()
        answer = req.get_response(self._app)
        path = req.environ.get('PATH_INFO', '')
        polled = req.method in ('GET', 'HEAD') or path.endswith('/heartbeat')
        level = (
            logging.DEBUG
            if polled and answer.status_int < 400
            else logging.INFO
        )
        LOG.log(
            level,
            '%s "%s %s" %d %.3fs',
            req.remote_addr,
            req.method,
            # escaped as it came, so that it cannot forge a line
            urllib.parse.quote(path, encoding='latin-1'),
            answer.status_int,
            time.monotonic() - begun,
        )
        return answer
