# SPDX-License-Identifier: Apache-2.0
"""That a production storage has refused credentials, in the catalog."""

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement

# In the place of a host: whichever it is.
EVERYWHERE = ''


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Since when, how often in a row, and until when nobody logs in."""

    since: datetime.datetime
    count: int
    login_after: datetime.datetime


def by_storage(
    session: orm.Session, *conditions: sa.ColumnElement[bool]
) -> dict[str, dict[str, Refusal]]:
    """All of them: of each storage, by its id, those by host."""
    found: dict[str, dict[str, Refusal]] = {}
    for model in session.execute(
        sa.select(models.Refusal.__table__)
        .where(*conditions)
        .order_by(models.Refusal.host)
    ):
        values: dict[str, Any] = {
            'since': clock.instant(model.since),
            'count': model.count,
            'login_after': clock.instant(model.login_after),
        }
        found.setdefault(model.storage_id, {})[model.host] = Refusal(**values)
    return found


def note(
    session: orm.Session,
    storage_id: str,
    changed: datetime.datetime,
    host: str,
    count: int,
    pause: float,
) -> bool:
    """Note that credentials are refused; whether they are still these.

    :param changed: when the storage was, as it was read
    :param count: of refusals in a row, with this one
    :param pause: seconds for which nobody shall log in
    """
    instant = clock.to_milliseconds(changed)
    # It stays as it is, and is nobody else's until this is noted.
    same = sa.update(models.Storage).where(
        models.Storage.id == storage_id, models.Storage.updated_at == instant
    )
    if not statement.changed(session, same.values(updated_at=instant)):
        return False
    now = clock.read(session)
    values: dict[str, Any] = {
        'count': count,
        'login_after': now + clock.milliseconds(pause),
    }
    known = sa.update(models.Refusal).where(
        models.Refusal.storage_id == storage_id, models.Refusal.host == host
    )
    if not statement.changed(session, known.values(values)):
        session.execute(
            sa.insert(models.Refusal).values(
                storage_id=storage_id, host=host, since=now, **values
            )
        )
    return True


def forget(session: orm.Session, *conditions: sa.ColumnElement[bool]) -> None:
    session.execute(
        sa.delete(models.Refusal).where(*conditions),
        execution_options={'synchronize_session': False},
    )
