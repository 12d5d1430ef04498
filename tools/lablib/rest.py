# SPDX-License-Identifier: Apache-2.0
"""Calls to the lab's REST APIs, by the standard library alone."""

import functools
import http.client
import json
from typing import Any
import urllib.error
import urllib.request

from lablib import lab as lab_module

# Everything is on this machine; a proxy in the environment is for the rest.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failure(Exception):
    """An answer of 400 or above."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def call(
    method: str,
    url: str,
    body: object = None,
    headers: dict[str, str] | None = None,
    timeout: float = 60,
) -> tuple[Any, dict[str, str]]:
    """Return the answer's JSON (None if it has no body) and its headers.

    Raises Failure for an error, OSError where nobody answers.
    """
    request = urllib.request.Request(url, method=method)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header('Content-Type', 'application/json')
    try:
        with _opener.open(request, data, timeout) as answer:
            content = answer.read()
            return json.loads(content or 'null'), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors='replace')
        raise Failure(error.code, f'{method} {url}: {text}') from None


class Client:
    """Acts as one account of the lab; gets a token when it first needs one.

    Threads may share it: at worst, each gets a token.
    """

    def __init__(self, lab: lab_module.Lab, user: str = 'admin') -> None:
        self._lab = lab
        self._user = user
        self._token: str | None = None

    def call(
        self, service: str, method: str, path: str, body: object = None
    ) -> Any:
        """Call keystone, cinder (path begins with /v3) or ebackup."""
        url = self._lab.url(service, path)
        headers = {'OpenStack-API-Version': 'volume 3.70'}
        if self._token is None:
            self._token = self._authenticate()
        headers['X-Auth-Token'] = self._token
        return call(method, url, body, headers)[0]

    def get(self, service: str, path: str) -> Any:
        return self.call(service, 'GET', path)

    def post(self, service: str, path: str, body: object) -> Any:
        return self.call(service, 'POST', path, body)

    def _authenticate(self) -> str:
        domain = {'name': 'Default'}
        user = {
            'name': self._user,
            'password': self._lab.settings.passwords[self._user],
            'domain': domain,
        }
        auth = {
            'identity': {'methods': ['password'], 'password': {'user': user}},
            'scope': {'project': {'name': self._user, 'domain': domain}},
        }
        url = self._lab.url('keystone', '/v3/auth/tokens')
        _answer, headers = call('POST', url, {'auth': auth})
        lowered = {name.lower(): value for name, value in headers.items()}
        return lowered['x-subject-token']


@functools.cache
def client(lab: lab_module.Lab, user: str = 'admin') -> Client:
    """Return the client of an account; one for all, to save tokens."""
    return Client(lab, user)


def answers(url: str) -> bool:
    """Tell whether something at this URL is ready to serve."""
    try:
        with _opener.open(url, timeout=5) as answer:
            return answer.status < 300
    except (OSError, http.client.HTTPException):
        return False
