# SPDX-License-Identifier: Apache-2.0
"""Cinder's own database, for what no API does: to lose something."""

import configparser

import sqlalchemy as sa

from tests.functional import lab


def execute(which: lab.Lab, *statements: str, **parameters: str) -> None:
    """Execute statements, in which :name stands for a parameter."""
    parser = configparser.RawConfigParser()
    parser.read(which.directory / 'etc/cinder.conf')
    engine = sa.create_engine(
        parser['database']['connection'].replace('$$', '$')
    )
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement), parameters)
    finally:
        engine.dispose()


def forget_backup(which: lab.Lab, backup_id: str) -> None:
    """Let Cinder know nothing of a backup, as if it never had."""
    execute(
        which,
        'DELETE FROM backup_metadata WHERE backup_id = :id',
        'DELETE FROM backups WHERE id = :id',
        id=backup_id,
    )
