# SPDX-License-Identifier: Apache-2.0
"""The identity of the service that owns this catalog, and its lock."""

import dataclasses
import uuid

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import models

_ROW = 1


@dataclasses.dataclass(frozen=True)
class Service:
    uuid: str


def get(session: orm.Session) -> Service:
    """Who we are."""
    return Service(
        uuid=session.scalars(
            sa.select(models.Service.uuid).where(models.Service.id == _ROW)
        ).one()
    )


def lock(session: orm.Session) -> Service:
    """Take the catalog's one lock until the transaction ends.

    Whatever decides from several rows (admission, dispatch, deletion) takes
    it first, so that two of them never decide from each other's past. On
    sqlite every writer holds the database's only write lock anyway.
    """
    model = session.scalars(
        sa.select(models.Service)
        .where(models.Service.id == _ROW)
        .with_for_update()
    ).one()
    return Service(uuid=model.uuid)


def touch(session: orm.Session) -> None:
    """Write what is there already."""
    session.execute(
        sa.update(models.Service)
        .where(models.Service.id == _ROW)
        .values(uuid=models.Service.uuid)
    )


def create(session: orm.Session) -> None:
    """Give a new catalog its identity; the first one counts."""
    if session.get(models.Service, _ROW) is None:
        session.add(models.Service(id=_ROW, uuid=str(uuid.uuid4())))
