# SPDX-License-Identifier: Apache-2.0
"""Backup images in the catalog.

States: creating -> available | error; any of these -> deleting -> deleted.
A row is never removed: deleted, it is the tombstone that refuses a late PUT.
"""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement

CREATING = 'creating'
AVAILABLE = 'available'
ERROR = 'error'
DELETING = 'deleting'
DELETED = 'deleted'
_GIB = 1024**3
# How many ids one query names; databases have limits.
_BATCH = 500

STATES = (CREATING, AVAILABLE, ERROR, DELETING, DELETED)


@dataclasses.dataclass(frozen=True)
class Image:
    """One image as it was when read; sizes in bytes."""

    id: str
    project_id: str | None
    user_id: str | None
    volume_id: str | None
    snapshot_id: str | None
    repository: str | None  # its name
    repository_id: str | None
    chain_id: int | None
    generation: int | None
    state: str
    size: int | None
    chunk_size: int | None
    kind: str | None  # full | incremental, known when it is produced
    bytes_read: int | None
    bytes_stored: int | None
    name: str | None
    description: str | None
    volume: dict[str, Any]
    volume_metadata: str | None
    record: dict[str, Any]
    root: dict[str, Any] | None
    error: dict[str, Any] | None
    damage: list[list[int]]  # [offset, length] of what is known to be damaged
    damaged_bytes: int
    restore_damaged: bool
    job_id: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime


def _image(row: Any) -> Image:
    model, repository = row
    values = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(Image)
        if field.name != 'repository'
    }
    values.update(
        repository=repository,
        volume=model.volume or {},
        record=model.record or {},
        damage=model.damage or [],
        created_at=clock.instant(model.created_at),
        updated_at=clock.instant(model.updated_at),
    )
    return Image(**values)


def _select() -> Any:
    return sa.select(models.Image, models.Repository.name).outerjoin(
        models.Repository, models.Repository.id == models.Image.repository_id
    )


def get(session: orm.Session, image_id: str) -> Image | None:
    row = session.execute(
        _select().where(models.Image.id == image_id)
    ).one_or_none()
    return None if row is None else _image(row)


def locked(session: orm.Session, image_id: str) -> Image | None:
    """An image that nobody else changes until the transaction ends."""
    session.execute(
        sa.select(models.Image.id)
        .where(models.Image.id == image_id)
        .with_for_update()
    )
    return get(session, image_id)


def page(
    session: orm.Session,
    filters: dict[str, Any],
    limit: int,
    marker: str | None,
) -> list[Image]:
    """Images, newest first, after ``marker``; tombstones only if asked."""
    query = _select().order_by(
        models.Image.created_at.desc(), models.Image.id.desc()
    )
    for column, value in filters.items():
        query = query.where(getattr(models.Image, column) == value)
    if 'state' not in filters:
        query = query.where(models.Image.state != DELETED)
    if marker is not None:
        query = query.where(after(models.Image, marker))
    return [_image(row) for row in session.execute(query.limit(limit))]


def after(model: Any, marker: str) -> sa.ColumnElement[bool]:
    """Rows that a newest-first listing shows after the row ``marker``."""
    created_at = (
        sa.select(model.created_at)
        .where(model.id == marker)
        .correlate(None)
        .scalar_subquery()
    )
    return sa.or_(
        model.created_at < created_at,
        sa.and_(model.created_at == created_at, model.id < marker),
    )


def insert(session: orm.Session, **values: Any) -> None:
    """:param values: of columns; ``created_at`` if it is not now"""
    now = clock.read(session)
    session.execute(
        sa.insert(models.Image).values(
            {'created_at': now, 'updated_at': now, **values}
        )
    )


def move(
    session: orm.Session,
    image_id: str,
    states: Collection[str],
    **values: Any,
) -> bool:
    """Change an image if it is in one of ``states``; whether it was."""
    return bool(
        statement.changed(
            session,
            sa.update(models.Image)
            .where(models.Image.id == image_id)
            .where(models.Image.state.in_(states))
            .values(updated_at=clock.now(), **values),
        )
    )


def newest(
    session: orm.Session, chain_id: int, chunk_size: int
) -> Image | None:
    """The image a backup of the chain compares with."""
    row = session.execute(
        _select()
        .where(models.Image.chain_id == chain_id)
        .where(models.Image.state == AVAILABLE)
        .where(models.Image.chunk_size == chunk_size)
        .order_by(models.Image.generation.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _image(row)


def states(
    session: orm.Session, repository_id: str, image_ids: Sequence[str]
) -> dict[str, tuple[str, bool]]:
    """The states of those images that this catalog knows there.

    And whether it has taken their commit. Tombstones that were never seen
    alive could be anywhere.
    """
    found = {}
    for batch in _batches(image_ids):
        # By the primary key alone: of a condition on the repository sqlite
        # makes a search through all images that this has.
        rows = session.execute(
            sa.select(
                models.Image.id,
                models.Image.state,
                models.Image.repository_id,
                models.Image.root.is_not(None).label('committed'),
            ).where(models.Image.id.in_(batch))
        )
        found.update(
            {
                row.id: (row.state, bool(row.committed))
                for row in rows
                if row.repository_id in (repository_id, None)
            }
        )
    return found


def several(session: orm.Session, image_ids: Sequence[str]) -> list[Image]:
    """Those images, in that order; without those that nobody knows."""
    found = {}
    for batch in _batches(image_ids):
        for row in session.execute(
            _select().where(models.Image.id.in_(batch))
        ):
            image = _image(row)
            found[image.id] = image
    return [found[image_id] for image_id in image_ids if image_id in found]


def _batches(image_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(image_ids), _BATCH):
        yield image_ids[start : start + _BATCH]


def every_available(session: orm.Session, repository_id: str) -> set[str]:
    """Ids of all available images of a repository."""
    return {
        *session.scalars(
            sa.select(models.Image.id)
            .where(models.Image.repository_id == repository_id)
            .where(models.Image.state == AVAILABLE)
        )
    }


def available(
    session: orm.Session, repository_id: str, after: str, limit: int
) -> list[str]:
    """Ids of available images of a repository, by id, behind one of them."""
    return [
        *session.scalars(
            sa.select(models.Image.id)
            .where(models.Image.repository_id == repository_id)
            .where(models.Image.state == AVAILABLE)
            .where(models.Image.id > after)
            .order_by(models.Image.id)
            .limit(limit)
        )
    ]


def damaged(
    session: orm.Session, repository_id: str, after: str, limit: int
) -> list[Image]:
    """Available images of a repository of which damage is known.

    By id, behind one of them.
    """
    rows = session.execute(
        _select()
        .where(models.Image.repository_id == repository_id)
        .where(models.Image.state == AVAILABLE)
        .where(models.Image.damaged_bytes > 0)
        .where(models.Image.id > after)
        .order_by(models.Image.id)
        .limit(limit)
    )
    return [_image(row) for row in rows]


def of_generation(
    session: orm.Session, chain_id: int, generation: int
) -> str | None:
    """Id of the image that has, or had, a generation of a chain."""
    return session.scalars(
        sa.select(models.Image.id)
        .where(models.Image.chain_id == chain_id)
        .where(models.Image.generation == generation)
    ).one_or_none()


def count(session: orm.Session, repository_id: str) -> int:
    """How many images of a repository are available."""
    return session.execute(
        sa.select(sa.func.count())
        .select_from(models.Image)
        .where(models.Image.repository_id == repository_id)
        .where(models.Image.state == AVAILABLE)
    ).scalar_one()


def least_volume(image: Image) -> int:
    """The size, by Cinder's count, of a volume that the image fits on, bytes.

    Cinder counts whole GiB, and doesn't count the header of an encrypted
    volume, which the target has as well.
    """
    size = image.size or 0
    return size if size < _GIB else size - size % _GIB


def pin(image: Image) -> dict[str, Any]:
    """What a job row holds of an image that its job needs."""
    return {
        'image_id': image.id,
        'tree': (image.root or {}).get('tree'),
        'size': image.size,
        'chunk_size': image.chunk_size,
        'damaged': image.damage,
    }


def abandoned(session: orm.Session, age: int) -> list[Image]:
    """Images in deletion, older than ``age`` ms there, without a job.

    What has been there since later than now is of a clock that was set back.
    """
    now = clock.now()
    working = (
        sa.select(models.Job.id)
        .where(models.Job.image_id == models.Image.id)
        .where(models.Job.finished_at.is_(None))
        .exists()
    )
    found = session.execute(
        _select()
        # Each has one; by it there is an index.
        .where(models.Image.repository_id.in_(sa.select(models.Repository.id)))
        .where(models.Image.state == DELETING)
        .where(sa.not_(models.Image.updated_at.between(now - age, now)))
        .where(~working)
    )
    return [_image(row) for row in found]
