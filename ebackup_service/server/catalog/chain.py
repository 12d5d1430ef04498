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
    key = _key(repository_id, project_id, volume_id)
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


def reach(
    session: orm.Session,
    repository_id: str,
    project_id: str,
    volume_id: str,
    generation: int,
    chunk_size: int,
) -> int:
    """Let a chain go on behind a generation that was used; its id.

    The chain is made if it is new. Its chunk size is that of the image with
    the greatest generation.
    """
    key = _key(repository_id, project_id, volume_id)
    statement.changed(
        session,
        sa.update(models.Chain)
        .where(key, models.Chain.next_generation <= generation)
        .values(next_generation=generation + 1, chunk_size=chunk_size),
    )
    known = sa.select(models.Chain.id).where(key)
    chain_id = session.scalars(known).one_or_none()
    if chain_id is None:
        session.execute(
            sa.insert(models.Chain).values(
                repository_id=repository_id,
                project_id=project_id,
                volume_id=volume_id,
                next_generation=generation + 1,
                chunk_size=chunk_size,
                created_at=clock.read(session),
            )
        )
        chain_id = session.scalars(known).one()
    return chain_id


def reach_all(
    session: orm.Session, repository_id: str, generation: int
) -> None:
    """Let all chains of a repository go on behind a generation."""
    statement.changed(
        session,
        sa.update(models.Chain)
        .where(models.Chain.repository_id == repository_id)
        .where(models.Chain.next_generation <= generation)
        .values(next_generation=generation + 1),
    )


def _key(
    repository_id: str, project_id: str, volume_id: str
) -> sa.ColumnElement[bool]:
    return sa.and_(
        models.Chain.repository_id == repository_id,
        models.Chain.project_id == project_id,
        models.Chain.volume_id == volume_id,
    )
