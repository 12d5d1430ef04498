# SPDX-License-Identifier: Apache-2.0
"""Instants that lie further ahead than anything was meant to."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement

# Columns, how late they may be, and what they become if they are later.
_Bound = tuple[
    tuple[tuple[Any, sa.ColumnElement[bool]], ...],
    sa.ColumnElement[int],
    sa.ColumnElement[int],
]

_UNFINISHED = models.Job.state.in_(job_rows.UNFINISHED)
# Columns, and the rows that matter: instants that have passed already, such as
# will in a moment if they haven't, such as may be some time ahead, and such as
# may be far ahead.
_PAST = (
    (models.Job.beat_at, _UNFINISHED),
    (models.Repository.collected_at, sa.true()),
    (models.Proxy.announced_at, sa.true()),
    (models.Storage.updated_at, sa.true()),
    (models.Refusal.since, sa.true()),
    (models.Connection.ending_at, sa.true()),
)
_SOON = ((models.Job.ready_at, _UNFINISHED),)
_AHEAD = (
    (models.Job.lease_until, _UNFINISHED),
    (models.Repository.collect_after, sa.true()),
)
_FAR = ((models.Refusal.login_after, sa.true()),)
# Milliseconds that the past may seem ahead without that the clock was set: a
# statement's instant is when it began, and others write until it reads.
_SLACK = 1000


def _bounds(limit: int, far: int) -> tuple[_Bound, ...]:
    """How far what is to come may be ahead, in ms.

    :param limit: of what comes soon, as most does
    :param far: of the rest
    """
    now = clock.now()
    then = now + limit
    return (
        (_PAST, now + _SLACK, now),
        (_SOON, then, now),
        (_AHEAD, then, then),
        (_FAR, now + far + _SLACK, now + far),
    )


def beyond(session: orm.Session, limit: int, far: int) -> bool:
    """Whether anything is further ahead than it can be meant to be."""
    found = [
        sa.select(column).where(column > latest, matters).exists()
        for columns, latest, _ in _bounds(limit, far)
        for column, matters in columns
    ]
    return bool(session.scalar(sa.select(sa.or_(*found))))


def bring_back(session: orm.Session, limit: int, far: int) -> None:
    """Let what has passed, or soon will, be now.

    The rest in ``limit`` ms, or ``far``.
    """
    for columns, latest, value in _bounds(limit, far):
        for column, matters in columns:
            statement.changed(
                session,
                sa.update(column.class_)
                .where(column > latest, matters)
                .values({column: value}),
            )
