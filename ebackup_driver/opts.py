# SPDX-License-Identifier: Apache-2.0
"""Options of the driver: section ``[ebackup]`` of cinder.conf."""

from collections.abc import Sequence
import socket

from keystoneauth1 import loading
from oslo_config import cfg

GROUP = 'ebackup'
SERVICE_TYPE = 'block-backup'

# The authentication that an installation may choose; others that keystoneauth
# knows work too, these are the ones that the sample file explains.
_SAMPLED_AUTH_TYPES = ('password', 'http_basic', 'none')

# Nothing is retried by keystoneauth: the driver does that itself, and looks
# meanwhile whether Cinder still wants the operation.
_ADAPTER_OPTIONS = (
    'service_type',
    'service_name',
    'valid_interfaces',
    'region_name',
    'endpoint_override',
)
_SESSION_OPTIONS = ('cafile', 'certfile', 'keyfile', 'insecure', 'timeout')

_DRIVER_OPTIONS = [
    cfg.StrOpt(
        'repository',
        help='Name of the repository that backups go to. The container that '
        'a backup was asked to be created in, if any, takes precedence. '
        'Without either the service uses its default repository.',
    ),
    cfg.StrOpt(
        'host',
        default=socket.gethostname(),
        sample_default='<host name>',
        help='Name of this host. Volumes are attached here, so the backup '
        'proxy that is to read or write them must have the same name in '
        '[proxy] host of its own configuration.',
    ),
    cfg.FloatOpt(
        'poll_interval',
        default=2.0,
        min=0.1,
        max=5.0,
        help='Seconds between two looks at a running job. Each look is also '
        'the heartbeat without which the service ends the job; that is why '
        'this is bounded.',
    ),
    cfg.FloatOpt(
        'service_timeout',
        default=60.0,
        min=1.0,
        help='Seconds for which the eBackup service may be unreachable, or '
        "Cinder's database fail, before the operation fails. Keep it above "
        '[server] heartbeat_timeout of the service: a restore that was given '
        'up has then stopped writing.',
    ),
    cfg.BoolOpt(
        'clear_parent',
        default=True,
        help='Make every backup independent in Cinder, as it is in the '
        'repository, so that backups can be deleted in any order. When '
        'disabled, backups requested as incremental keep their parent and '
        'Cinder refuses to delete the parent before them.',
    ),
]


def _connection_options() -> list[cfg.Opt]:
    adapter = loading.get_adapter_conf_options(include_deprecated=False)
    session = loading.get_session_conf_options()
    options = [o for o in adapter if o.dest in _ADAPTER_OPTIONS]
    options += [o for o in session if o.dest in _SESSION_OPTIONS]
    cfg.set_defaults(
        options,
        service_type=SERVICE_TYPE,
        valid_interfaces=['internal', 'public'],
        timeout=10.0,
    )
    return options


_OPTIONS: Sequence[cfg.Opt] = (*_DRIVER_OPTIONS, *_connection_options())


def register(conf: cfg.ConfigOpts) -> None:
    """Register the section; may be called again with the same conf.

    The options of the chosen auth_type are registered when it is loaded.
    """
    conf.register_opts(_OPTIONS, group=GROUP)
    loading.register_auth_conf_options(conf, GROUP)


def driver_options() -> list[cfg.Opt]:
    """Options of the driver itself, without those of keystoneauth."""
    return list(_DRIVER_OPTIONS)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Everything that the sample file shows (entry point oslo.config.opts)."""
    options = {o.dest: o for o in _OPTIONS}
    for option in loading.get_auth_common_conf_options():
        options.setdefault(option.dest, option)
    for auth_type in _SAMPLED_AUTH_TYPES:
        for option in loading.get_auth_plugin_conf_options(auth_type):
            options.setdefault(option.dest, option)
    return [(GROUP, list(options.values()))]
