# SPDX-License-Identifier: Apache-2.0
"""Opens the catalog for a program."""

import contextlib

from oslo_config import cfg
from oslo_db import exception as db_errors
import sqlalchemy as sa

from ebackup_service.server.catalog import database


class NotReady(Exception):
    """The catalog cannot be used as it is."""


# What an operator can put right; the message says how.
EXPECTED = (NotReady, db_errors.DBError)


def opened(
    conf: cfg.ConfigOpts,
    stack: contextlib.ExitStack,
    may_be_empty: bool = False,
) -> database.Catalog:
    """Return the catalog, closed with the stack. Raises NotReady."""
    catalog = database.Catalog(conf)
    stack.callback(catalog.close)
    try:
        version = catalog.version()
    except db_errors.DBError as error:
        url = sa.engine.make_url(conf.database.connection)
        reason = str(error.inner_exception).partition('\n')[0]
        raise NotReady(
            f'the catalog {url.render_as_string()} cannot be opened: {reason}'
        ) from None
    if version is None and not may_be_empty:
        raise NotReady(
            'the catalog has no tables: run "ebackup-manage db sync" first'
        )
    return catalog
