# SPDX-License-Identifier: Apache-2.0
"""Options of the REST API: section [api]."""

from oslo_config import cfg

GROUP = 'api'
OPTS: list[cfg.Opt] = [
    cfg.HostAddressOpt(
        'host',
        default='127.0.0.1',
        help='Address on which ebackup-api and ebackup-all listen.',
    ),
    cfg.PortOpt(
        'port',
        default=8790,
        help='Port on which ebackup-api and ebackup-all listen.',
    ),
    cfg.IntOpt(
        'threads',
        default=8,
        min=1,
        help='Number of requests that one process serves at the same time.',
    ),
    cfg.IntOpt(
        'max_connections',
        default=1000,
        min=1,
        help='Connections that one process has open at the same time; those '
        'that clients keep without asking anything cost next to nothing. '
        'More wait until one is closed.',
    ),
    cfg.IntOpt(
        'max_request_body',
        default=1024 * 1024,
        min=4096,
        help='Largest request body that is read, in bytes. A larger one is '
        'answered with 413 before it is read.',
    ),
    cfg.IntOpt(
        'max_limit',
        default=1000,
        min=1,
        help='Most entries that one answer of a list has; a client reads '
        'on with "marker".',
    ),
    cfg.StrOpt(
        'auth_strategy',
        default='keystone',
        choices=[
            ('keystone', 'Tokens of Keystone, see [keystone_authtoken].'),
            (
                'http_basic',
                'User names and passwords of a file, see [http_basic]; for '
                'a system without Keystone.',
            ),
            (
                'none',
                'Everybody may do everything. The service refuses to start '
                'with it unless it listens on a loopback address.',
            ),
        ],
        help='How callers prove who they are.',
    ),
    cfg.IntOpt(
        'shutdown_timeout',
        default=5,
        min=0,
        help='Seconds that requests being served get to end when the '
        'process is told to stop.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP, OPTS)]
