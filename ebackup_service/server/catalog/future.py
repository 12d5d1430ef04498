# SPDX-License-Identifier: Apache-2.0
"""Instants that lie further ahead than anything was meant to."""

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement

_UNFINISHED = models.Job.state.in_(job_rows.UNFINISHED)
# Columns, and the rows that matter: instants that have passed already, or
# will in a moment, and such as may be some time ahead.
_PAST = (
    (models.Job.beat_at, _UNFINISHED),
    (models.Job.ready_at, _UNFINISHED),
    (models.Repository.collected_at, sa.true()),
    (models.Proxy.announced_at, sa.true()),
)
_AHEAD = (
    (models.Job.lease_until, _UNFINISHED),
    (models.Repository.collect_after, sa.true()),
)


def beyond(session: orm.Session, limit: int) -> bool:
    """Whether anything is more than ``limit`` ms ahead."""
    then = clock.now() + limit
    found = [
        sa.select(column).where(column > then, matters).exists()
        for column, matters in _PAST + _AHEAD
    ]
    return bool(session.scalar(sa.select(sa.or_(*found))))


def bring_back(session: orm.Session, limit: int) -> None:
    """Let the former be now, and the latter be in ``limit`` ms."""
    then = clock.now() + limit
    for columns, value in ((_PAST, clock.now()), (_AHEAD, then)):
        for column, matters in columns:
            statement.changed(
                session,
                sa.update(column.class_)
                .where(column > then, matters)
                .values({column: value}),
            )
