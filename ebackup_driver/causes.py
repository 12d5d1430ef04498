# SPDX-License-Identifier: Apache-2.0
"""The cause of a failed request, dug out of what keystoneauth raises."""

from collections.abc import Iterator
import errno
import http.client
import os
import ssl
import urllib.parse

from keystoneauth1 import exceptions as ksa
import requests

from ebackup_driver import errors

_UNREACHABLE = (
    ksa.ConnectionError,
    # The identity service did not answer when asked for its versions.
    ksa.DiscoveryFailure,
    ksa.HttpServerError,
    ksa.RetriableConnectionFailure,
)


def translate(error: ksa.ClientException) -> errors.EBackupError:
    """Return the error of ours that means the same as keystoneauth's."""
    if isinstance(error, _UNREACHABLE):
        return errors.ServiceUnreachable(
            f'{_reason(error)}: no connection to {_target(error)}'
        )
    if isinstance(error, ksa.Unauthorized):
        return errors.AuthenticationFailed(
            'Unauthorized (HTTP 401) by the identity service: check user '
            'name, password and project'
        )
    if isinstance(error, ksa.CatalogException | ksa.EndpointNotFound):
        return errors.NotConfigured(
            f'No endpoint: {error}; register the service in the catalog or '
            'set endpoint_override'
        )
    if isinstance(error, ksa.HttpError):
        return errors.ServiceFailed(
            f'{error.message} (HTTP {error.http_status}) by the identity '
            'service'
        )
    return errors.NotConfigured(f'{error}: check authentication options')


def place(url: str) -> str:
    """Return scheme, host and port of an URL, without any credentials."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition('@')[2]
    return f'{parts.scheme}://{host}'


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and everything that it was made of, outside in."""
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        candidate = pending.pop(0)
        if not isinstance(candidate, BaseException) or id(candidate) in seen:
            continue
        seen.add(id(candidate))
        yield candidate
        pending += [candidate.__cause__, candidate.__context__]
        pending += [getattr(candidate, 'reason', None), *candidate.args]


def _reason(error: BaseException) -> str:
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f'TLS certificate refused ({cause.verify_message})'
        if isinstance(cause, requests.RequestException):
            continue
        if isinstance(cause, http.client.RemoteDisconnected):
            return 'Connection closed without an answer'
        if isinstance(cause, OSError) and cause.strerror:
            return _words(cause)
    if isinstance(error, ksa.ConnectTimeout):
        return 'No answer in time'
    if isinstance(error, ksa.HttpError):
        return f'{error.message} (HTTP {error.http_status})'
    return errors.shorten(str(error), 120)


def _words(error: OSError) -> str:
    # Eventlet's exceptions have the name of the number where words should be.
    if error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(error.strerror)


def _target(error: BaseException) -> str:
    for cause in _chain(error):
        request = getattr(cause, 'request', None)
        url = getattr(request, 'url', None)
        if isinstance(url, str):
            return place(url)
        if isinstance(cause, ksa.HttpError) and cause.url:
            return place(cause.url)
    return 'the identity service'
