# SPDX-License-Identifier: Apache-2.0
"""Refuses bodies that are too large before they are read."""

from oslo_middleware import sizelimit
import webob
import webob.dec

from ebackup_service.api import errors


class BodyLimit:
    """Lets requests through whose body has at most ``limit`` bytes."""

    def __init__(self, app: webob.dec.wsgify, limit: int) -> None:
        self._app = app
        self._limit = limit

    @webob.dec.wsgify
    def __call__(self, req: webob.Request) -> webob.Response:
        length = req.content_length
        if length is None and req.is_body_readable:
            # chunked: the length is known only when all has been read
            req.body_file = sizelimit.LimitingReader(
                req.body_file_raw, self._limit
            )
        elif length is not None and length > self._limit:
            raise errors.BodyTooLarge(
                f'the body has {length} bytes; at most {self._limit} are read'
            )
        return req.get_response(self._app)
