# SPDX-License-Identifier: Apache-2.0
"""Cinder's own database, for what no API does: to lose something."""

from collections.abc import Iterator
import configparser
import contextlib

import sqlalchemy as sa

from tests.functional import lab


def execute(which: lab.Lab, *statements: str, **parameters: str) -> None:
    """Execute statements, in which :name stands for a parameter."""
    with _connected(which) as connection:
        for statement in statements:
            connection.execute(sa.text(statement), parameters)


@contextlib.contextmanager
def _connected(which: lab.Lab) -> Iterator[sa.Connection]:
    """One transaction."""
    parser = configparser.RawConfigParser()
    parser.read(which.directory / 'etc/cinder.conf')
    engine = sa.create_engine(
        parser['database']['connection'].replace('$$', '$')
    )
    try:
        with engine.begin() as connection:
            yield connection
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


def forget_volume(which: lab.Lab, volume_id: str) -> None:
    """Let Cinder know nothing of a volume and its snapshots.

    Whatever refers to them is forgotten as well, but not its backups.
    """
    with _connected(which) as connection:
        known = sa.MetaData()
        known.reflect(connection)
        snapshots = known.tables['snapshots']
        of_volume = sa.select(snapshots.c.id).where(
            snapshots.c.volume_id == volume_id
        )
        taken = list(connection.scalars(of_volume))
        kept = {'backups', 'volumes'}
        # Those that refer to others come first.
        for table in reversed(known.sorted_tables):
            if table.name in kept:
                continue
            if 'snapshot_id' in table.c:
                connection.execute(
                    table.delete().where(table.c.snapshot_id.in_(taken))
                )
            if 'volume_id' in table.c:
                connection.execute(
                    table.delete().where(table.c.volume_id == volume_id)
                )
        volumes = known.tables['volumes']
        connection.execute(volumes.delete().where(volumes.c.id == volume_id))
