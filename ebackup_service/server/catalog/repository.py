# SPDX-License-Identifier: Apache-2.0
"""Repositories in the catalog.

States: creating -> available | error. One that is taken over is recovering
until the catalog has been rebuilt from it, then available.
"""

import dataclasses
import datetime
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models

CREATING = 'creating'
AVAILABLE = 'available'
ERROR = 'error'
RECOVERING = 'recovering'
_CREDENTIALS = re.compile('(?<=://)[^/?#]*@')


@dataclasses.dataclass(frozen=True)
class Repository:
    """One repository as it was when read; sizes in bytes."""

    id: str
    name: str
    url: str
    state: str
    error: dict[str, Any] | None
    owner_generation: int
    usage: dict[str, Any] | None
    used_at: datetime.datetime | None
    garbage: int
    collect_after: int  # milliseconds by the database's clock
    collected_at: datetime.datetime | None
    swept_at: int | None  # milliseconds by the database's clock
    verification: dict[str, Any]
    verify_after: int  # milliseconds by the database's clock
    created_at: datetime.datetime

    @property
    def public_url(self) -> str:
        return without_credentials(self.url)


def without_credentials(url: str) -> str:
    """The URL of a repository as everybody may see it."""
    return _CREDENTIALS.sub('', url, count=1)


def _repository(model: models.Repository) -> Repository:
    values: dict[str, Any] = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(Repository)
    }
    values['verification'] = values['verification'] or {}
    for name in ('used_at', 'collected_at', 'created_at'):
        values[name] = clock.instant(values[name])
    return Repository(**values)


def get(session: orm.Session, repository_id: str) -> Repository | None:
    model = session.get(models.Repository, repository_id)
    return None if model is None else _repository(model)


def named(session: orm.Session, name: str) -> Repository | None:
    model = session.scalars(
        sa.select(models.Repository).where(models.Repository.name == name)
    ).one_or_none()
    return None if model is None else _repository(model)


def every(session: orm.Session) -> list[Repository]:
    models_ = session.scalars(
        sa.select(models.Repository).order_by(models.Repository.name)
    )
    return [_repository(model) for model in models_]


def insert(session: orm.Session, **values: Any) -> None:
    session.execute(
        sa.insert(models.Repository).values(
            created_at=clock.read(session),
            garbage=0,
            collect_after=0,
            verify_after=0,
            **values,
        )
    )


def update(session: orm.Session, repository_id: str, **values: Any) -> None:
    session.execute(
        sa.update(models.Repository)
        .where(models.Repository.id == repository_id)
        .values(**values)
    )


def littered(session: orm.Session, repository_id: str) -> None:
    """Note that something may have left garbage in a repository."""
    update(session, repository_id, garbage=models.Repository.garbage + 1)


def is_blank(session: orm.Session, repository_id: str) -> bool:
    """Whether the catalog knows nothing that is, or was, in a repository."""
    return not any(
        session.execute(
            sa.select(model.id)
            .where(model.repository_id == repository_id)
            .limit(1)
        ).first()
        for model in (models.Chain, models.Image)
    )


def forget(session: orm.Session, repository_id: str) -> None:
    """Remove a repository, its chains and its jobs, all of which have ended.

    All its images are deleted; they stay as tombstones, of which nobody knows
    where they were.
    """
    session.execute(
        sa.update(models.Image)
        .where(models.Image.repository_id == repository_id)
        .values(repository_id=None, chain_id=None)
    )
    for model in (models.Chain, models.Job):
        session.execute(
            sa.delete(model).where(model.repository_id == repository_id)
        )
    remove(session, repository_id)


def remove(session: orm.Session, repository_id: str) -> None:
    """Forget a repository that is blank, and that no job refers to."""
    session.execute(
        sa.delete(models.Repository).where(
            models.Repository.id == repository_id
        )
    )
