# SPDX-License-Identifier: Apache-2.0
"""Options of the service, one group a file.

There is no global configuration object: whoever starts something makes one
here and hands it down.
"""

from collections.abc import Sequence

from oslo_config import cfg
from oslo_log import log

from ebackup_service.conf import api
from ebackup_service.conf import base
from ebackup_service.conf import database
from ebackup_service.conf import http_basic
from ebackup_service.conf import nbd
from ebackup_service.conf import proxy
from ebackup_service.conf import repository
from ebackup_service.conf import server

PROJECT = 'ebackup'
# Libraries that say more than an operator wants to read.
LOG_LEVELS = [
    'alembic=WARNING',
    'keystonemiddleware=INFO',
    'oslo_middleware=WARNING',
    'oslo_policy=INFO',
    'stevedore=WARNING',
    'waitress=INFO',
]
GROUPS = (base, api, database, http_basic, nbd, proxy, repository, server)


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options of every group, and those of oslo.log.

    Groups are registered by name: an OptGroup would be shared, with all that
    is set in it, by every configuration that it is registered in.
    """
    log.register_options(conf)
    levels = log.get_default_log_levels() + LOG_LEVELS
    conf.set_default('default_log_levels', levels)
    for group in GROUPS:
        group.register_opts(conf)


def new(
    config_files: Sequence[str] = (), args: Sequence[str] = ()
) -> cfg.ConfigOpts:
    """Return options read from these files only, defaults for the rest.

    ``args`` are oslo.config's own command line options (``--debug``, ...).
    """
    conf = cfg.ConfigOpts()
    register(conf)
    conf(
        list(args),
        project=PROJECT,
        default_config_files=list(config_files),
        default_config_dirs=[],
    )
    return conf


def load(prog: str, args: Sequence[str]) -> cfg.ConfigOpts:
    """Return the options of a program started with these arguments.

    Without ``--config-file`` the usual places are read,
    ``/etc/ebackup/ebackup.conf`` the last of them.
    """
    conf = cfg.ConfigOpts()
    register(conf)
    conf(list(args), project=PROJECT, prog=prog)
    return conf
