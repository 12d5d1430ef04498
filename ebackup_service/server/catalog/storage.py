# SPDX-License-Identifier: Apache-2.0
"""Production storages in the catalog."""

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import refusal

TRUSTED = 'trusted'
SHADOW = 'shadow'
TRUSTS = (TRUSTED, SHADOW)


@dataclasses.dataclass(frozen=True)
class Storage:
    """One storage as it was when read; its credentials are encrypted."""

    id: str
    name: str
    kind: str
    backends: list[str]
    settings: dict[str, Any]
    credentials: str | None = dataclasses.field(repr=False)
    trust: str
    anchors: bool
    configured: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime
    # that it has refused credentials, by the host of the proxy that had them
    refusals: dict[str, refusal.Refusal]


def _storage(
    model: models.Storage, refusals: dict[str, refusal.Refusal]
) -> Storage:
    values: dict[str, Any] = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(Storage)
        if field.name != 'refusals'
    }
    for name in ('created_at', 'updated_at'):
        values[name] = clock.instant(values[name])
    return Storage(**values, refusals=refusals)


def get(session: orm.Session, storage_id: str) -> Storage | None:
    return _one(_found(session, models.Storage.id == storage_id))


def named(session: orm.Session, name: str) -> Storage | None:
    return _one(_found(session, models.Storage.name == name))


def every(session: orm.Session) -> list[Storage]:
    return _found(session)


def _found(
    session: orm.Session, *conditions: sa.ColumnElement[bool]
) -> list[Storage]:
    found = session.scalars(
        sa.select(models.Storage)
        .where(*conditions)
        .order_by(models.Storage.name),
        execution_options={'populate_existing': True},
    )
    refusals = refusal.by_storage(session)
    return [_storage(model, refusals.get(model.id, {})) for model in found]


def _one(found: list[Storage]) -> Storage | None:
    return found[0] if found else None


def insert(session: orm.Session, **values: Any) -> None:
    now = clock.read(session)
    session.execute(
        sa.insert(models.Storage).values(
            created_at=now, updated_at=now, **values
        )
    )


def update(session: orm.Session, storage_id: str, **values: Any) -> None:
    session.execute(
        sa.update(models.Storage)
        .where(models.Storage.id == storage_id)
        .values(updated_at=clock.now(), **values),
        execution_options={'synchronize_session': False},
    )


def remove(session: orm.Session, storage_id: str) -> None:
    session.execute(
        sa.delete(models.Storage).where(models.Storage.id == storage_id)
    )
