# SPDX-License-Identifier: Apache-2.0
"""What the server refuses; the API turns each into an HTTP answer."""


class ServerError(Exception):
    """A request that cannot be carried out.

    ``code`` is the HTTP status, ``kind`` a slug for programs; the message
    is for people and names the cause first.
    """

    code = 500

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NotFound(ServerError):
    """There is no such object, or it is another project's."""

    code = 404


class Conflict(ServerError):
    """The object's present state does not allow it."""

    code = 409


class Refused(ServerError):
    """The request itself cannot be accepted, whatever the state."""

    code = 400


class Unavailable(ServerError):
    """What is needed for it does not answer now; ask again."""

    code = 503
