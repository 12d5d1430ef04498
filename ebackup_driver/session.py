# SPDX-License-Identifier: Apache-2.0
"""The one connection to the eBackup service that a process keeps.

Cinder makes a new driver for every operation; tokens, discovered endpoints
and open connections must outlive it. A keystoneauth session may be used by
many threads at once, of either sort, and only its creation is guarded here.
Credentials are loaded without any I/O.
"""

import threading
from typing import NamedTuple

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ksa
from keystoneauth1 import loading
from keystoneauth1 import plugin
from keystoneauth1 import session as ksa_session
from oslo_config import cfg

from ebackup_driver import client
from ebackup_driver import errors
from ebackup_driver import opts

_WITHOUT_CATALOG = ('none', 'http_basic', 'admin_token', 'noauth')
_INTERFACES = frozenset(('public', 'internal', 'admin'))


class Connection(NamedTuple):
    session: ksa_session.Session
    auth: plugin.BaseAuthPlugin


_lock = threading.Lock()
# Both guarded by _lock: the connection, and whose configuration made it.
_connection: Connection | None = None
_configuration: cfg.ConfigOpts | None = None


def connect(
    conf: cfg.ConfigOpts, request_id: str | None = None
) -> client.Client:
    """Return a client for one operation, over the process's connection.

    request_id: sent along, so that the service's log can be followed.

    :raises NotConfigured: credentials are missing or wrong in form
    """
    connection = _shared(conf)
    group = conf[opts.GROUP]
    http = adapter.Adapter(
        session=connection.session,
        auth=connection.auth,
        service_type=group.service_type,
        service_name=group.service_name,
        interface=group.valid_interfaces,
        region_name=group.region_name,
        endpoint_override=group.endpoint_override,
        global_request_id=request_id,
        client_name='ebackup-driver',
    )
    return client.Client(http)


def forget() -> None:
    """Drop the connection; the next operation reads its options anew."""
    global _connection, _configuration
    with _lock:
        _connection = _configuration = None


def check(conf: cfg.ConfigOpts) -> None:
    """Check the options as far as that goes without talking to anybody.

    :raises NotConfigured: naming the option and what it should be
    """
    group = conf[opts.GROUP]
    for option in opts.driver_options():
        try:
            group[option.dest]
        except cfg.ConfigFileValueError as error:
            raise errors.NotConfigured(f'{option.dest}: {error}') from error
    unknown = sorted(set(group.valid_interfaces) - _INTERFACES)
    if unknown:
        raise errors.NotConfigured(
            f'valid_interfaces: unknown {", ".join(unknown)}; use public, '
            'internal or admin'
        )
    auth = _load_auth(conf)
    _check_identity(conf, auth)
    url = group.endpoint_override
    if auth_type(conf) in _WITHOUT_CATALOG:
        url = url or getattr(auth, 'endpoint', None)
        if not url:
            raise errors.NotConfigured(
                f'endpoint_override: missing; auth_type = {auth_type(conf)} '
                'knows no catalog to find the service in'
            )
    if url and not url.startswith(('http://', 'https://')):
        raise errors.NotConfigured(
            'endpoint_override: must begin with http:// or https://'
        )


def auth_type(conf: cfg.ConfigOpts) -> str | None:
    """Return how the driver authenticates, from auth_section if that is."""
    section = conf[opts.GROUP].auth_section or opts.GROUP
    return conf[section].auth_type


def _check_identity(conf: cfg.ConfigOpts, auth: plugin.BaseAuthPlugin) -> None:
    section = conf[opts.GROUP].auth_section or opts.GROUP
    group = conf[section]
    if auth_type(conf) not in ('password', 'v3password', 'http_basic'):
        return
    if not (group.username or group.get('user_id')):
        raise errors.NotConfigured(f'[{section}] username: missing')
    if not group.password:
        raise errors.NotConfigured(f'[{section}] password: missing')


def _shared(conf: cfg.ConfigOpts) -> Connection:
    global _connection, _configuration
    with _lock:
        if _connection is None or _configuration is not conf:
            _connection = Connection(_load_session(conf), _load_auth(conf))
            _configuration = conf
        return _connection


def _load_session(conf: cfg.ConfigOpts) -> ksa_session.Session:
    group = conf[opts.GROUP]
    return loading.session.Session().load_from_options(
        insecure=group.insecure,
        cacert=group.cafile,
        cert=group.certfile,
        key=group.keyfile,
        timeout=group.timeout,
    )


def _load_auth(conf: cfg.ConfigOpts) -> plugin.BaseAuthPlugin:
    try:
        auth = loading.load_auth_from_conf_options(conf, opts.GROUP)
    except (ksa.ClientException, cfg.Error) as error:
        raise errors.NotConfigured(f'auth_type: {error}') from error
    if auth is None:
        raise errors.NotConfigured(
            'auth_type: missing; use password (Keystone), http_basic or none'
        )
    return auth
