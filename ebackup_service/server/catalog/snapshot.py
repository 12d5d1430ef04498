# SPDX-License-Identifier: Apache-2.0
"""Our snapshots on production storage, in the catalog.

States: planned -> taken -> anchor; any of these -> condemned -> (no row). A
row is there before its snapshot, and goes only when that is gone, or when an
operator gives up the storage.
"""

from collections.abc import Collection
import dataclasses
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement

PLANNED = 'planned'
TAKEN = 'taken'
ANCHOR = 'anchor'
CONDEMNED = 'condemned'
# Seconds that none waits until it may be removed.
_LONGEST = 2 * 3600.0

STATES = (PLANNED, TAKEN, ANCHOR, CONDEMNED)


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One snapshot as it was when read.

    ``volume``: what finds the volume on its storage, as the driver said it.
    ``lun``: the key of what was found. ``name``, ``snapshot_id``: the
    storage's; the id is unknown while nobody has said that it exists.
    ``release_after`` is in milliseconds by the database's clock.
    """

    id: str
    state: str
    storage_id: str
    repository_id: str
    chain_id: int
    image_id: str
    job_id: str
    volume: dict[str, Any]
    lun: str
    name: str
    snapshot_id: str | None
    failures: int
    release_after: int


def _snapshot(model: models.Snapshot) -> Snapshot:
    return Snapshot(
        **{
            field.name: getattr(model, field.name)
            for field in dataclasses.fields(Snapshot)
        }
    )


def find(
    session: orm.Session, *conditions: sa.ColumnElement[bool], **values: Any
) -> list[Snapshot]:
    """Those of which the columns have these values, the oldest first."""
    query = (
        sa.select(models.Snapshot)
        .where(*conditions)
        .filter_by(**values)
        .order_by(models.Snapshot.created_at, models.Snapshot.id)
    )
    return [_snapshot(model) for model in session.scalars(query)]


def insert(session: orm.Session, **values: Any) -> None:
    session.execute(
        sa.insert(models.Snapshot).values(
            {
                'state': PLANNED,
                'failures': 0,
                'release_after': 0,
                'created_at': clock.read(session),
                **values,
            }
        )
    )


def move(
    session: orm.Session,
    states: Collection[str],
    *conditions: sa.ColumnElement[bool],
    **values: Any,
) -> int:
    """Change those that are in one of ``states``; how many they were."""
    return statement.changed(
        session,
        sa.update(models.Snapshot)
        .where(models.Snapshot.state.in_(states), *conditions)
        .values(**values),
    )


def condemn(
    session: orm.Session,
    states: Collection[str],
    grace: float,
    *conditions: sa.ColumnElement[bool],
) -> int:
    """Let those go that are in one of ``states``; how many they were.

    :param grace: seconds until one may be removed that nobody has said to
        exist: it may be taken yet
    """
    late = clock.now() + clock.milliseconds(grace)
    return move(
        session,
        states,
        *conditions,
        state=CONDEMNED,
        release_after=sa.case(
            (models.Snapshot.snapshot_id.is_(None), late), else_=clock.now()
        ),
    )


def releasing(session: orm.Session) -> list[tuple[str, str]]:
    """Storages, with repositories, of those that may be removed now."""
    query = (
        sa.select(models.Snapshot.storage_id, models.Snapshot.repository_id)
        .where(*_releasable())
        .distinct()
    )
    return [row._tuple() for row in session.execute(query)]


def releasable(
    session: orm.Session,
    limit: int,
    *conditions: sa.ColumnElement[bool],
    **values: Any,
) -> list[Snapshot]:
    """Those of find() that may be removed now, the longest due first."""
    query = (
        sa.select(models.Snapshot)
        .where(*_releasable(), *conditions)
        .filter_by(**values)
        .order_by(models.Snapshot.release_after, models.Snapshot.id)
        .limit(limit)
    )
    return [_snapshot(model) for model in session.scalars(query)]


def _releasable() -> tuple[sa.ColumnElement[bool], ...]:
    """What waits for longer than anything does is of a clock set back."""
    latest = clock.now() + clock.milliseconds(_LONGEST)
    return (
        models.Snapshot.state == CONDEMNED,
        sa.or_(
            models.Snapshot.release_after <= clock.now(),
            models.Snapshot.release_after > latest,
        ),
    )


def remove(session: orm.Session, ids: Collection[str]) -> None:
    session.execute(
        sa.delete(models.Snapshot)
        .where(models.Snapshot.id.in_(ids))
        .where(models.Snapshot.state == CONDEMNED)
    )


def forget(session: orm.Session, storage_id: str) -> None:
    """Let all of a storage go, in whatever state; they may be there still."""
    session.execute(
        sa.delete(models.Snapshot).where(
            models.Snapshot.storage_id == storage_id
        )
    )
