# SPDX-License-Identifier: Apache-2.0
"""Runs the migrations that lie beside this module."""

from collections.abc import Iterator
import contextlib
import pathlib

from alembic import command
from alembic import config as alembic_config
from alembic.runtime import migration
import sqlalchemy as sa

_DIRECTORY = pathlib.Path(__file__).parent / 'migrations'


def configuration() -> alembic_config.Config:
    config = alembic_config.Config()
    config.set_main_option('script_location', str(_DIRECTORY))
    return config


def upgrade(engine: sa.Engine, revision: str = 'head') -> None:
    config = configuration()
    with (
        engine.connect() as connection,
        _copying(connection),
        connection.begin(),
    ):
        config.attributes['connection'] = connection
        command.upgrade(config, revision)


@contextlib.contextmanager
def _copying(connection: sa.Connection) -> Iterator[None]:
    """Let sqlite drop a table that others refer to: its copy takes its place.

    That can be said between transactions only.
    """
    if connection.dialect.name != 'sqlite':
        yield
        return
    # Executed by SQLAlchemy, it would begin a transaction.
    cursor = connection.connection.cursor()
    [enforced] = cursor.execute('PRAGMA foreign_keys').fetchone()
    cursor.execute('PRAGMA foreign_keys = OFF')
    try:
        yield
    finally:
        cursor.execute(f'PRAGMA foreign_keys = {enforced}')
        cursor.close()


def version(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        return migration.MigrationContext.configure(
            connection
        ).get_current_revision()
