# SPDX-License-Identifier: Apache-2.0
"""Finds the handler of a request in a literal table of routes."""

from collections.abc import Callable
from collections.abc import Mapping
import re
from typing import Any

import webob
import webob.dec

from ebackup_service.api import errors
from ebackup_service.api import request

Handler = Callable[..., webob.Response]
Table = Mapping[str, Mapping[str, Handler]]

UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
# What may stand for a variable of a route. Nothing else reaches a handler.
VARIABLES = {
    'image_id': UUID,
    'job_id': UUID,
    'volume_id': UUID,
    'name': r'[A-Za-z0-9][A-Za-z0-9._-]{0,254}',
}


class Router:
    """Calls ``table[path][method](request, **variables)``.

    A path that is not in the table goes to ``otherwise``, if there is one.
    """

    def __init__(self, table: Table, otherwise: Any = None) -> None:
        self._routes = [
            (_compile(template), methods)
            for template, methods in table.items()
        ]
        self._otherwise = otherwise

    @webob.dec.wsgify(RequestClass=request.Request)
    def __call__(self, req: request.Request) -> webob.Response:
        try:
            path = req.path_info
        except UnicodeDecodeError:
            raise errors.BadRequest('the path is not UTF-8') from None
        for pattern, methods in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                return _handler(req, methods)(req, **match.groupdict())
        if self._otherwise is not None:
            return req.get_response(self._otherwise)
        raise errors.NoSuchPath(
            'there is nothing at this path; ids in it are lower-case UUIDs'
        )


def _compile(template: str) -> re.Pattern[str]:
    def variable(match: re.Match[str]) -> str:
        name = match.group(1)
        return f'(?P<{name}>{VARIABLES[name]})'

    return re.compile(re.sub(r'\{(\w+)\}', variable, template))


def _handler(req: request.Request, methods: Mapping[str, Handler]) -> Handler:
    method = 'GET' if req.method == 'HEAD' else req.method
    if method in methods:
        return methods[method]
    raise errors.MethodNotAllowed(
        f'{req.method} is not possible here, {", ".join(methods)} is',
        {'Allow': ', '.join(methods)},
    )
