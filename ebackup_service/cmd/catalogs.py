# SPDX-License-Identifier: Apache-2.0
"""Opens the catalog for a program."""

import contextlib

from oslo_config import cfg

from ebackup_service.server.catalog import database


class NotReady(Exception):
    """The catalog's tables are missing."""


def opened(
    conf: cfg.ConfigOpts,
    stack: contextlib.ExitStack,
    may_be_empty: bool = False,
) -> database.Catalog:
    """Return the catalog, closed with the stack. Raises NotReady."""
    catalog = database.Catalog(conf)
    stack.callback(catalog.close)
    if not may_be_empty and catalog.version() is None:
        raise NotReady(
            'the catalog has no tables: run "ebackup-manage db sync" first'
        )
    return catalog
