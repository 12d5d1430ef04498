# SPDX-License-Identifier: Apache-2.0
"""Options of password authentication: section [http_basic]."""

from oslo_config import cfg

GROUP = 'http_basic'
OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'users_file',
        default='/etc/ebackup/users',
        help='File of user names and bcrypt password hashes, as "htpasswd '
        '-B" writes it. It is read for every request, so that a change '
        'takes effect at once.',
    ),
    cfg.ListOpt(
        'service_users',
        default=[],
        help='Users who have the role "service": the accounts that the '
        'backup driver in cinder-backup uses.',
    ),
    cfg.ListOpt(
        'admin_users',
        default=[],
        help='Users who have the role "admin". A user who is in neither '
        'list has the role "reader" in the project below.',
    ),
    cfg.StrOpt(
        'project_id',
        default='default',
        help='The project that these users act in.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP, OPTS)]
