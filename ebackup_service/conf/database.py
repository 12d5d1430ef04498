# SPDX-License-Identifier: Apache-2.0
"""The catalog's connection: section [database], whose options are oslo.db's.

Only the API and the server read them; a proxy has no database.
"""

import copy

from oslo_config import cfg
from oslo_db import options as db_options

DEFAULT_CONNECTION = 'sqlite:///$state_path/ebackup.sqlite'


def register_opts(conf: cfg.ConfigOpts) -> None:
    db_options.set_defaults(conf, connection=DEFAULT_CONNECTION)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    listed = copy.deepcopy(db_options.list_opts())
    for _group, opts in listed:
        for opt in opts:
            if opt.dest == 'connection':
                opt.default = DEFAULT_CONNECTION
    return listed
