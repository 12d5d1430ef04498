# SPDX-License-Identifier: Apache-2.0
"""Production storages in the catalog."""

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement

TRUSTED = 'trusted'
SHADOW = 'shadow'
TRUSTS = (TRUSTED, SHADOW)

# What of a storage is as long as its credentials are not refused.
ADMITTED: dict[str, Any] = {
    'refused_since': None,
    'refusals': 0,
    'login_after': None,
}

_INSTANTS = ('refused_since', 'login_after', 'created_at', 'updated_at')


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
    refused_since: datetime.datetime | None
    refusals: int
    login_after: datetime.datetime | None
    created_at: datetime.datetime
    updated_at: datetime.datetime


def _storage(model: models.Storage) -> Storage:
    values: dict[str, Any] = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(Storage)
    }
    for name in _INSTANTS:
        values[name] = clock.instant(values[name])
    return Storage(**values)


def get(session: orm.Session, storage_id: str) -> Storage | None:
    model = session.get(models.Storage, storage_id, populate_existing=True)
    return None if model is None else _storage(model)


def named(session: orm.Session, name: str) -> Storage | None:
    model = session.scalars(
        sa.select(models.Storage).where(models.Storage.name == name)
    ).one_or_none()
    return None if model is None else _storage(model)


def every(session: orm.Session) -> list[Storage]:
    found = session.scalars(
        sa.select(models.Storage).order_by(models.Storage.name)
    )
    return [_storage(model) for model in found]


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


def refused(
    session: orm.Session, storage: Storage, count: int, pause: float
) -> bool:
    """Note that the credentials are refused; whether they are still these.

    :param storage: as it was read, with the credentials that were refused
    :param count: of refusals in a row, with this one
    :param pause: seconds for which nobody shall log in
    """
    now = clock.read(session)
    since = now
    if storage.refused_since is not None:
        since = clock.to_milliseconds(storage.refused_since)
    changed = clock.to_milliseconds(storage.updated_at)
    query = sa.update(models.Storage).where(
        models.Storage.id == storage.id, models.Storage.updated_at == changed
    )
    return bool(
        statement.changed(
            session,
            query.values(
                refused_since=since,
                refusals=count,
                login_after=now + clock.milliseconds(pause),
            ),
        )
    )


def admitted(session: orm.Session, storage_id: str) -> None:
    """Forget that the credentials were refused."""
    query = sa.update(models.Storage).where(models.Storage.id == storage_id)
    statement.changed(session, query.values(ADMITTED))


def remove(session: orm.Session, storage_id: str) -> None:
    session.execute(
        sa.delete(models.Storage).where(models.Storage.id == storage_id)
    )
