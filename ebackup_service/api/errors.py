# SPDX-License-Identifier: Apache-2.0
"""Answers that say why a request was not carried out.

Every error has the body ``{"error": {"code", "kind", "message"}}``: the
HTTP status, a slug for programs, and a sentence for people, cause first.
"""

from collections.abc import Mapping

import webob

from ebackup_service.api import answer

MAX_MESSAGE = 255


class Misconfigured(Exception):
    """The API cannot be started with this configuration."""


class ApiError(Exception):
    """A request that the API itself turns away.

    ``code`` is the HTTP status, ``kind`` a slug for programs, ``headers``
    are added to the answer.
    """

    code = 400
    kind = 'bad-request'

    def __init__(
        self, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})


class BadRequest(ApiError):
    """What the caller sent cannot be understood."""


class Unauthorized(ApiError):
    """Who the caller is was not proven; says nothing of what was wrong."""

    code = 401
    kind = 'unauthorized'

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        super().__init__('authentication is required', headers)


class Forbidden(ApiError):
    """The caller's roles do not allow this request on any object."""

    code = 403
    kind = 'forbidden'


class NoSuchPath(ApiError):
    """No route has this path."""

    code = 404
    kind = 'no-such-path'


class MethodNotAllowed(ApiError):
    """The path exists, but not with this method."""

    code = 405
    kind = 'method-not-allowed'


class BodyTooLarge(ApiError):
    """The body is larger than [api]max_request_body."""

    code = 413
    kind = 'body-too-large'


class UnsupportedMediaType(ApiError):
    """The body is not declared to be JSON."""

    code = 415
    kind = 'unsupported-media-type'


class Unavailable(ApiError):
    """The service cannot serve anybody yet."""

    code = 503
    kind = 'unavailable'


def response(code: int, kind: str, message: str) -> webob.Response:
    """Return the answer for an error."""
    if len(message) > MAX_MESSAGE:
        message = message[: MAX_MESSAGE - 1] + '…'
    return answer.json(
        code, {'error': {'code': code, 'kind': kind, 'message': message}}
    )
