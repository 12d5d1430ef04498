# SPDX-License-Identifier: Apache-2.0
"""Options that belong to no part in particular: section [DEFAULT]."""

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'state_path',
        default='/var/lib/ebackup',
        help='Directory below which the service keeps its own files, such '
        'as the default sqlite catalog.',
    ),
    cfg.StrOpt(
        'default_repository',
        default='default',
        help='Name of the repository for images that name none. If an '
        'embedded service (ebackup-all) has [repository]url set, it creates '
        'a repository of this name when it first starts.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [('DEFAULT', OPTS)]
