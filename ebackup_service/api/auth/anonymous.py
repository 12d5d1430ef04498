# SPDX-License-Identifier: Apache-2.0
"""No authentication: everybody on this machine may do everything."""

import ipaddress
from typing import Any

from oslo_config import cfg
import webob
import webob.dec

from ebackup_service.api import context
from ebackup_service.api import errors

ROLES = ['admin', 'member', 'reader', 'service']


def wrap(app: Any, conf: cfg.ConfigOpts) -> Any:
    """Raise Misconfigured unless [api]host is a loopback address."""
    if not is_loopback(conf.api.host):
        raise errors.Misconfigured(
            f'[api]auth_strategy none with [api]host {conf.api.host}: '
            f'everybody who reaches the port could do everything; listen on '
            f'127.0.0.1, or use keystone or http_basic'
        )
    return Anonymous(app, conf.http_basic.project_id)


def is_loopback(host: str) -> bool:
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Anonymous:
    """Gives every caller from this machine all roles."""

    def __init__(self, app: Any, project_id: str) -> None:
        self._app = app
        self._project_id = project_id

    @webob.dec.wsgify
    def __call__(self, req: webob.Request) -> webob.Response:
        # Under another web server [api]host says nothing.
        if not is_loopback(req.remote_addr or ''):
            raise errors.Unauthorized
        context.enter(
            req.environ,
            user_id='anonymous',
            project_id=self._project_id,
            roles=ROLES,
        )
        return req.get_response(self._app)
