# SPDX-License-Identifier: Apache-2.0
"""What Cinder may have exported to proxies, in the catalog.

A row is there before the export can be asked for, and goes when the driver
says that it has ended all of the job's.
"""

from collections.abc import Collection
import dataclasses
from typing import Any
import uuid

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models


@dataclasses.dataclass(frozen=True)
class Connection:
    """One export; ``exported_type``: 'volume' or 'snapshot', of Cinder.

    ``connector``: os-brick's properties of the host of ``proxy``.
    """

    job_id: str
    volume_id: str
    exported_type: str
    exported_id: str
    proxy: str
    connector: dict[str, Any]


def insert(session: orm.Session, connection: Connection) -> None:
    session.execute(
        sa.insert(models.Connection).values(
            id=str(uuid.uuid4()),
            created_at=clock.read(session),
            **dataclasses.asdict(connection),
        )
    )


def of_volume(session: orm.Session, volume_id: str) -> list[Connection]:
    """Those for jobs of a volume, the oldest first."""
    return _found(session, models.Connection.volume_id == volume_id)


def of_jobs(
    session: orm.Session, job_ids: Collection[str]
) -> list[Connection]:
    """Those for some jobs, the oldest first."""
    return _found(session, models.Connection.job_id.in_(job_ids))


def _found(
    session: orm.Session, condition: sa.ColumnElement[bool]
) -> list[Connection]:
    found = session.scalars(
        sa.select(models.Connection)
        .where(condition)
        .order_by(models.Connection.created_at, models.Connection.id)
    )
    fields = dataclasses.fields(Connection)
    return [
        Connection(
            **{field.name: getattr(model, field.name) for field in fields}
        )
        for model in found
    ]


def in_use(session: orm.Session, connection: Connection) -> bool:
    """Whether an unfinished job may have the same exported to the same."""
    found = (
        sa.select(models.Connection.id)
        .join(models.Job, models.Job.id == models.Connection.job_id)
        .where(models.Job.state.in_(job_rows.UNFINISHED))
        .where(models.Connection.exported_type == connection.exported_type)
        .where(models.Connection.exported_id == connection.exported_id)
        .where(models.Connection.proxy == connection.proxy)
    )
    return bool(session.scalar(sa.select(found.exists())))


def begin_to_end(session: orm.Session, job_id: str) -> None:
    session.execute(
        sa.update(models.Connection)
        .where(models.Connection.job_id == job_id)
        .values(ending_at=clock.now())
    )


def ending(session: orm.Session, since: int) -> list[Connection]:
    """Those that somebody has begun to end, after that instant."""
    return _found(session, models.Connection.ending_at > since)


def remove(session: orm.Session, job_id: str) -> None:
    session.execute(
        sa.delete(models.Connection).where(models.Connection.job_id == job_id)
    )
