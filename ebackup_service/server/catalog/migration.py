# SPDX-License-Identifier: Apache-2.0
"""Runs the migrations that lie beside this module."""

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
    with engine.begin() as connection:
        config.attributes['connection'] = connection
        command.upgrade(config, revision)


def version(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        return migration.MigrationContext.configure(
            connection
        ).get_current_revision()
