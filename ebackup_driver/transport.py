# SPDX-License-Identifier: Apache-2.0
"""Requests to the eBackup service, and the meaning of what comes back."""

from collections.abc import Mapping
import time
from typing import Any
import urllib.parse

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ksa
from oslo_log import log as logging
import requests

from ebackup_driver import causes
from ebackup_driver import errors

LOG = logging.getLogger(__name__)

_GATEWAY_WITHOUT_SERVICE = frozenset((502, 503, 504))
_MEANING: Mapping[int, type[errors.ServiceError]] = {
    401: errors.AuthenticationFailed,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
}


class Transport:
    """Sends requests through a keystoneauth adapter, each of them once.

    It holds no state between calls, so that threads of either sort may share
    it. Bodies and headers are never logged.
    """

    def __init__(self, http: adapter.Adapter):
        self._http = http

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Return the JSON of the answer, None if it has no body.

        timeout is in seconds, that of the session if there is none.

        :raises ServiceUnreachable: also when Keystone can't be reached
        :raises NotConfigured: no endpoint, or unusable credentials
        :raises ServiceError: one of its subclasses, by the HTTP status
        """
        options: dict[str, Any] = {}
        if query:
            given = {k: v for k, v in query.items() if v is not None}
            options['params'] = given
        if body is not None:
            options['json'] = body
        if timeout is not None:
            options['timeout'] = timeout
        started = time.monotonic()
        try:
            # log=False: bodies hold the volume's metadata.
            response = self._http.request(
                path,
                method,
                raise_exc=False,
                log=False,
                connect_retries=0,
                status_code_retries=0,
                headers={'Accept': 'application/json'},
                **options,
            )
        except ksa.ClientException as error:
            raise causes.translate(error) from error
        LOG.debug(
            '%(method)s %(path)s: %(status)d after %(seconds).3f s',
            {
                'method': method,
                'path': path,
                'status': response.status_code,
                'seconds': time.monotonic() - started,
            },
        )
        return _read(response)


def quote(identifier: str) -> str:
    """Return an identifier as one segment of a path."""
    return urllib.parse.quote(identifier, safe='')


def _read(response: requests.Response) -> Any:
    status = response.status_code
    if 200 <= status < 300:
        if not response.content:
            return None
        try:
            return response.json()
        except requests.exceptions.JSONDecodeError as error:
            raise errors.ServiceFailed(
                f'Unexpected answer (no JSON) from {_place(response)}: '
                'is the endpoint that of the eBackup service?'
            ) from error
    message, kind = _explanation(response)
    if status in _GATEWAY_WITHOUT_SERVICE:
        raise errors.ServiceUnreachable(message)
    meaning = _MEANING.get(status)
    if meaning is None:
        refused = 400 <= status < 500
        meaning = errors.RequestRefused if refused else errors.ServiceFailed
    raise meaning(message, kind=kind)


def _explanation(response: requests.Response) -> tuple[str, str | None]:
    """What the service says about an error; its place if it says nothing."""
    try:
        error = response.json()['error']
        message, kind = str(error['message']), error.get('kind')
    except (ValueError, KeyError, TypeError, AttributeError):
        message, kind = '', None
    if message:
        return message, kind
    reason = response.reason or 'no explanation'
    return (
        f'{reason} (HTTP {response.status_code}) from {_place(response)}',
        kind,
    )


def _place(response: requests.Response) -> str:
    return causes.place(response.url)
