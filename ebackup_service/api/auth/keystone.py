# SPDX-License-Identifier: Apache-2.0
"""Tokens of Keystone, by keystonemiddleware."""

import importlib
from typing import Any

from keystonemiddleware import auth_token
from oslo_config import cfg
import webob
import webob.dec

from ebackup_service.api import context
from ebackup_service.api import errors


def wrap(app: Any, conf: cfg.ConfigOpts) -> Any:
    """Put keystonemiddleware before the application.

    Its options are in [keystone_authtoken] of the same configuration. Raises
    Misconfigured if they say nothing of how to reach Keystone, or ask for a
    cache that can't be used.
    """
    protected = auth_token.AuthProtocol(
        TokenContext(app), {'oslo_config_config': conf}
    )
    if not conf.keystone_authtoken.auth_type:
        raise errors.Misconfigured(
            '[keystone_authtoken]auth_type is not set: give the service an '
            'account of Keystone, or set [api]auth_strategy'
        )
    if conf.keystone_authtoken.memcached_servers:
        _require_memcache()
    return protected


def _require_memcache() -> None:
    """Miss it now: auth_token does so at the first request."""
    try:
        importlib.import_module('memcache')
    except ImportError as error:
        raise errors.Misconfigured(
            '[keystone_authtoken]memcached_servers needs python-memcached: '
            'install cinder-ebackup[memcache], or leave the option out'
        ) from error


class TokenContext:
    """Reads the caller from what auth_token found out.

    auth_token removes headers of these names that the caller sent.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    @webob.dec.wsgify
    def __call__(self, req: webob.Request) -> webob.Response:
        # With delay_auth_decision everybody gets as far as here.
        if req.environ.get('HTTP_X_IDENTITY_STATUS') != 'Confirmed':
            raise errors.Unauthorized
        context.enter(req.environ)
        return req.get_response(self._app)
