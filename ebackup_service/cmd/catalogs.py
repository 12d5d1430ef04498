# SPDX-License-Identifier: Apache-2.0
"""Opens the catalog for a program."""

from collections.abc import Iterator
import contextlib

from oslo_config import cfg
from oslo_db import exception as db_errors
import sqlalchemy as sa

from ebackup_service.server.catalog import database


class NotReady(Exception):
    """The catalog cannot be used as it is."""


# What an operator can put right; the message says how.
EXPECTED = (NotReady,)
# oslo.db hands most of what a database refuses on as it is.
_REFUSED = (db_errors.DBError, sa.exc.DBAPIError)
# No URL, or none that there is a driver for.
_UNKNOWN = (sa.exc.ArgumentError, ImportError)


def opened(
    conf: cfg.ConfigOpts,
    stack: contextlib.ExitStack,
    may_be_empty: bool = False,
) -> database.Catalog:
    """Return the catalog, closed with the stack. Raises NotReady."""
    with explained(conf, 'opened', (*_REFUSED, *_UNKNOWN)):
        catalog = database.Catalog(conf)
        stack.callback(catalog.close)
        version = catalog.version()
    if version is None and not may_be_empty:
        raise NotReady(
            'the catalog has no tables: run "ebackup-manage db sync" first'
        )
    return catalog


def writable(
    conf: cfg.ConfigOpts, stack: contextlib.ExitStack, make: bool = False
) -> database.Catalog:
    """Return the catalog for a program that serves; it can be written to.

    :param make: make the tables, or bring them up to date
    :raises NotReady: also if it can only be read
    """
    catalog = opened(conf, stack, may_be_empty=make)
    with explained(conf, 'written to'):
        if make:
            catalog.upgrade()
        catalog.try_writing()
    return catalog


@contextlib.contextmanager
def explained(
    conf: cfg.ConfigOpts,
    what: str = 'used',
    errors: tuple[type[Exception], ...] = _REFUSED,
) -> Iterator[None]:
    """Turn errors of the database into NotReady, which says what to do."""
    try:
        yield
    except errors as error:
        # The first line: SQL and a link to SQLAlchemy's documentation follow.
        reason = str(error).partition('\n')[0]
        name, advice = _described(conf.database.connection)
        raise NotReady(
            f'the catalog {name} cannot be {what}: {reason}; {advice}'
        ) from None


def _described(connection: str) -> tuple[str, str]:
    """Return the URL without its password, and what may be to be done."""
    try:
        url = sa.engine.make_url(connection)
    except sa.exc.ArgumentError:
        return 'of [database]connection', 'correct that URL'
    if url.get_backend_name() == 'sqlite':
        need = 'the user who runs this may write the file and its directory'
    else:
        need = 'the database runs, and its user may read, write and alter it'
    advice = f'check [database]connection, and that {need}'
    return url.render_as_string(), advice
