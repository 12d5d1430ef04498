# SPDX-License-Identifier: Apache-2.0
"""Backup chains: the images of one volume of one project in a repository."""

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement


def next_generation(
    session: orm.Session,
    repository_id: str,
    project_id: str,
    volume_id: str,
    chunk_size: int,
) -> tuple[int, int, int]:
    """Take the chain's next generation, making the chain if it is new.

    Gives chain id, generation (never handed out twice), and the chain's
    chunk size, which a new chain takes from ``chunk_size`` for good. The
    update locks the row until the transaction ends.
    """
    key = sa.and_(
        models.Chain.repository_id == repository_id,
        models.Chain.project_id == project_id,
        models.Chain.volume_id == volume_id,
    )
    if not statement.changed(
        session,
        sa.update(models.Chain)
        .where(key)
        .values(next_generation=models.Chain.next_generation + 1),
    ):
        session.execute(
            sa.insert(models.Chain).values(
                repository_id=repository_id,
                project_id=project_id,
                volume_id=volume_id,
                next_generation=2,
                chunk_size=chunk_size,
                created_at=clock.read(session),
            )
        )
    row = session.execute(
        sa.select(
            models.Chain.id,
            models.Chain.next_generation - 1,
            models.Chain.chunk_size,
        ).where(key)
    ).one()
    return row[0], row[1], row[2]
