# SPDX-License-Identifier: Apache-2.0
"""Backup proxies as they last announced themselves."""

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.rpc import topics
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement


@dataclasses.dataclass(frozen=True)
class Proxy:
    host: str
    version: str
    capabilities: dict[str, Any]
    announced_at: datetime.datetime | None
    age: float  # seconds since it announced itself, by the database's clock

    @property
    def understood(self) -> bool:
        """Whether this server can work with it."""
        return topics.understood(self.capabilities.get('messages', ''))


def every(session: orm.Session, latest: int | None = None) -> list[Proxy]:
    """All of them, as old as they are now, or at the instant ``latest``."""
    now = clock.read(session, latest)
    found = session.scalars(
        sa.select(models.Proxy).order_by(models.Proxy.host)
    )
    return [
        Proxy(
            host=model.host,
            version=model.version,
            capabilities=model.capabilities,
            announced_at=clock.instant(model.announced_at),
            age=(now - model.announced_at) / 1000,
        )
        for model in found
    ]


def announce(
    session: orm.Session,
    host: str,
    version: str,
    capabilities: dict[str, Any],
) -> None:
    values = {
        'version': version,
        'capabilities': capabilities,
        'announced_at': clock.now(),
    }
    if not statement.changed(
        session,
        sa.update(models.Proxy)
        .where(models.Proxy.host == host)
        .values(**values),
    ):
        session.execute(sa.insert(models.Proxy).values(host=host, **values))
