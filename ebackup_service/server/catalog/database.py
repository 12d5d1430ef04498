# SPDX-License-Identifier: Apache-2.0
"""The catalog's database: connections, transactions and retries."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import contextvars
import os
from typing import Any
from typing import TypeVar

from oslo_config import cfg
from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import enginefacade
import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import migration
from ebackup_service.server.catalog import service

_Function = TypeVar('_Function', bound=Callable[..., Any])

# sqlite would let everybody read. Its other files get the same mode.
_SQLITE_MODE = 0o640
# How long a sqlite connection waits for another process's or thread's write.
_SQLITE_WAIT = 30

_writing = contextvars.ContextVar('ebackup_catalog_writing', default=False)


@contextlib.contextmanager
def _mark(writing: bool) -> Iterator[None]:
    mark = _writing.set(writing)
    try:
        yield
    finally:
        _writing.reset(mark)


@enginefacade.transaction_context_provider
class _Context:
    """What oslo.db hangs one transaction on."""


class Catalog:
    """The catalog's database; safe to use from any thread.

    ``writer()``, ``reader()`` and ``snapshot()`` each are one transaction,
    which never spans a message or any input or output. Those that write are
    short. All but snapshots read data as others commit them; every decision is
    taken by a compare-and-swap or under ``service.lock``.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        _make_file(conf.database.connection)
        self._facade = enginefacade.transaction_context()
        options = {
            name: value
            for name, value in dict(conf.database).items()
            if name in _FACADE_OPTIONS
        }
        options['connection'] = _with_charset(conf.database.connection)
        self._facade.configure(sqlite_fk=True, **options)
        self._facade.append_on_engine_create(_prepare)

    @property
    def engine(self) -> sa.Engine:
        return self._facade.writer.get_engine()

    def upgrade(self) -> None:
        """Bring the tables to this version, from any earlier or none."""
        migration.upgrade(self.engine)
        with self.writer() as session:
            service.create(session)

    def version(self) -> str | None:
        """The revision of the tables; None for an empty database."""
        return migration.version(self.engine)

    def try_writing(self) -> None:
        """Change nothing, which raises an error where that is forbidden."""
        with self.writer() as session:
            service.touch(session)

    @contextlib.contextmanager
    def writer(self) -> Iterator[orm.Session]:
        with _mark(True), self._facade.writer.using(_Context()) as session:
            yield session

    @contextlib.contextmanager
    def reader(self) -> Iterator[orm.Session]:
        with _mark(False), self._facade.reader.using(_Context()) as session:
            yield session

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[orm.Session]:
        """A reader of which all statements see the same instant.

        Nobody waits for it, whatever it reads. It sees no transaction without
        all that were committed before that took ``service.lock``.
        """
        with self.reader() as session:
            # On sqlite every transaction reads like this.
            if self.engine.dialect.name != 'sqlite':
                session.connection(
                    execution_options={'isolation_level': 'REPEATABLE READ'}
                )
            yield session

    def close(self) -> None:
        self._facade.dispose_pool()


def retried(function: _Function) -> _Function:
    """Repeat a function that is one transaction when the database asks to.

    MariaDB ends one of two transactions that wait for each other, and one
    that found a row changed since it was read; of two that insert the same
    row one fails. Each did nothing, and meets other facts the next time.
    """
    return oslo_db_api.wrap_db_retry(
        max_retries=10,
        retry_interval=0.05,
        max_retry_interval=1,
        retry_on_deadlock=True,
        exception_checker=lambda error: isinstance(
            error,
            db_exception.DBConsistencyError | db_exception.DBDuplicateEntry,
        ),
    )(function)


_FACADE_OPTIONS = (
    'mysql_sql_mode',
    'connection_recycle_time',
    'connection_debug',
    'connection_trace',
    'max_pool_size',
    'max_overflow',
    'pool_timeout',
    'sqlite_synchronous',
    'max_retries',
    'retry_interval',
)


def _with_charset(connection: str) -> str:
    # oslo.db's default would be MySQL's three-byte utf8: no emoji in a name.
    url = sa.engine.make_url(connection)
    if url.get_backend_name() in ('mysql', 'mariadb'):
        if 'charset' not in url.query:
            url = url.update_query_dict({'charset': 'utf8mb4'})
    return url.render_as_string(hide_password=False)


def _make_file(connection: str) -> None:
    """Make the file of an sqlite catalog that is new."""
    url = sa.engine.make_url(connection)
    path = url.database
    if url.get_backend_name() != 'sqlite' or 'uri' in url.query:
        return
    if path and path != ':memory:':
        # One that is there is not opened: closing it would end the locks that
        # this process has on it. What else is wrong, sqlite will say.
        with contextlib.suppress(OSError):
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            os.close(os.open(path, flags, _SQLITE_MODE))


def _prepare(engine: sa.Engine) -> None:
    # Errors go to logs, which are no place for what the tables hold.
    engine.hide_parameters = True
    if engine.dialect.name == 'sqlite':
        sa.event.listen(engine, 'connect', _sqlite_connect)
        sa.event.listen(engine, 'begin', _sqlite_begin)
    else:
        # Repeatable reads would decide from a past that others have changed.
        engine.update_execution_options(isolation_level='READ COMMITTED')


def _sqlite_connect(connection: Any, record: Any) -> None:
    connection.execute(f'PRAGMA busy_timeout = {_SQLITE_WAIT * 1000}')
    connection.execute('PRAGMA journal_mode = WAL')


def _sqlite_begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later can't wait for another
    # writer, it fails at once ('database is locked'); so a writer takes the
    # write lock first. The transaction that oslo.db has just begun holds
    # nothing yet, and there is no way to come before it.
    if _writing.get():
        connection.exec_driver_sql('COMMIT')
        connection.exec_driver_sql('BEGIN IMMEDIATE')
