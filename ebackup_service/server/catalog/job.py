# SPDX-License-Identifier: Apache-2.0
"""Jobs in the catalog, and the compare-and-swap steps of their life.

States: pending -> running -> succeeded | failed | cancelled. A job whose proxy
was lost, or gave it back, returns from running to pending; at the next
hand-out its token grows, so whoever still holds the old one is refused.
"""

from collections.abc import Collection
import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement

PENDING = 'pending'
RUNNING = 'running'
SUCCEEDED = 'succeeded'
FAILED = 'failed'
CANCELLED = 'cancelled'
UNFINISHED = (PENDING, RUNNING)
STATES = (PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED)

BACKUP = 'backup'
RESTORE = 'restore'
DELETE = 'delete'
GC = 'gc'
CHECK = 'check'
CREATE = 'create'
TAKEOVER = 'takeover'
REBUILD = 'rebuild'
RELEASE = 'release'
# They touch a volume: a driver stands behind them, and supplies access if
# no registered storage does.
DATA_KINDS = (BACKUP, RESTORE)
KINDS = (
    *DATA_KINDS,
    DELETE,
    GC,
    CHECK,
    CREATE,
    TAKEOVER,
    REBUILD,
    RELEASE,
)

# What a job waits for: where the volume is attached, before it is handed out;
# by which connection its proxy reaches the volume, when it has been.
ATTACHMENT = 'attachment'
CONNECTION = 'connection'

_INSTANTS = ('created_at', 'started_at', 'finished_at')


@dataclasses.dataclass(frozen=True)
class Job:
    """One job as it was when read.

    ``runs`` counts those that have begun; ``begun`` tells whether that of the
    newest token has. ``token`` counts the hand-outs, the newest of which was
    at ``handed_at``; ``vain`` those that were neither taken up nor given back.
    ``handed_at``, ``lease_until``, ``beat_at`` and ``ready_at`` are
    milliseconds by the database's clock, to be compared with ``clock.read``
    only.
    """

    id: str
    kind: str
    state: str
    needs: str | None
    repository: str  # its name
    repository_id: str
    image_id: str | None
    volume_id: str | None
    project_id: str | None
    proxy: str | None
    parameters: dict[str, Any]
    attachment: dict[str, Any] | None
    pin: dict[str, Any] | None
    token: int
    handed_at: int | None
    runs: int
    begun: bool
    vain: int
    checkpoint: dict[str, Any] | None
    lease_until: int | None
    beat_at: int | None
    ready_at: int | None
    cancel_reason: str | None
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None

    @property
    def finished(self) -> bool:
        return self.state not in UNFINISHED


def _job(row: Any) -> Job:
    model, repository = row
    values = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(Job)
        if field.name != 'repository'
    }
    for name in _INSTANTS:
        values[name] = clock.instant(values[name])
    values['progress'] = values['progress'] or {}
    return Job(repository=repository, **values)


def _select() -> Any:
    return sa.select(models.Job, models.Repository.name).join(
        models.Repository, models.Repository.id == models.Job.repository_id
    )


def get(session: orm.Session, job_id: str) -> Job | None:
    row = session.execute(
        _select().where(models.Job.id == job_id)
    ).one_or_none()
    return None if row is None else _job(row)


def locked(session: orm.Session, job_id: str) -> Job | None:
    """A job that nobody else changes until the transaction ends.

    Whoever changes a job and its image takes the job first, so that two of
    them never wait for each other.
    """
    session.execute(
        sa.select(models.Job.id)
        .where(models.Job.id == job_id)
        .with_for_update()
    )
    return get(session, job_id)


def page(
    session: orm.Session,
    filters: dict[str, Any],
    limit: int,
    marker: str | None,
    *conditions: sa.ColumnElement[bool],
) -> list[Job]:
    """Jobs, newest first, after the job ``marker``."""
    query = _select().order_by(
        models.Job.created_at.desc(), models.Job.id.desc()
    )
    for column, value in filters.items():
        query = query.where(getattr(models.Job, column) == value)
    query = query.where(*conditions)
    if marker is not None:
        query = query.where(image_rows.after(models.Job, marker))
    return [_job(row) for row in session.execute(query.limit(limit))]


def unfinished(session: orm.Session, **filters: Any) -> list[Job]:
    """Pending and running jobs, oldest first."""
    query = _select().where(models.Job.state.in_(UNFINISHED))
    for column, value in filters.items():
        query = query.where(getattr(models.Job, column) == value)
    query = query.order_by(models.Job.created_at, models.Job.id)
    return [_job(row) for row in session.execute(query)]


def count_unfinished(session: orm.Session, kinds: Collection[str]) -> int:
    return session.execute(
        sa.select(sa.func.count())
        .select_from(models.Job)
        .where(models.Job.state.in_(UNFINISHED))
        .where(models.Job.kind.in_(kinds))
    ).scalar_one()


def insert(session: orm.Session, **values: Any) -> None:
    values.setdefault('parameters', {})
    session.execute(
        sa.insert(models.Job).values(
            state=PENDING, created_at=clock.read(session), **values
        )
    )


def update(
    session: orm.Session,
    job_id: str,
    states: Collection[str],
    *conditions: sa.ColumnElement[bool],
    **values: Any,
) -> bool:
    """Change a job if it is in one of ``states``; whether it was."""
    query = sa.update(models.Job).where(
        models.Job.id == job_id, models.Job.state.in_(states), *conditions
    )
    return bool(statement.changed(session, query.values(**values)))


def held(token: int) -> sa.ColumnElement[bool]:
    """The condition that ``token`` is the newest, so its holder may speak."""
    return models.Job.token == token


def leased() -> sa.ColumnElement[bool]:
    """The condition that a job's lease has not run out."""
    return models.Job.lease_until > clock.now()


def exported() -> sa.ColumnElement[bool]:
    """The condition that Cinder may export something for a job."""
    return models.Job.id.in_(sa.select(models.Connection.job_id))


def over(age: int) -> sa.ColumnElement[bool]:
    """The condition that a job has ended more than ``age`` ms ago."""
    return models.Job.finished_at < clock.now() - age


def unmoved(job: Job) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions that nobody renewed, took or gave a job since."""
    return (
        models.Job.token == job.token,
        models.Job.lease_until.is_not_distinct_from(job.lease_until),
        models.Job.needs.is_not_distinct_from(job.needs),
    )


def end(
    session: orm.Session,
    job_id: str,
    states: Collection[str],
    state: str,
    *conditions: sa.ColumnElement[bool],
    **values: Any,
) -> bool:
    """Finish a job, once; whether it was this call that did it."""
    return update(
        session,
        job_id,
        states,
        *conditions,
        state=state,
        needs=None,
        finished_at=clock.now(),
        lease_until=None,
        **values,
    )


def ended(session: orm.Session, age: int, limit: int) -> list[str]:
    """Ids of jobs that ended more than ``age`` ms ago, oldest first.

    Without those for which Cinder may still export something.
    """
    return [
        *session.scalars(
            sa.select(models.Job.id)
            # it has an index, and no job ends before it begins
            .where(models.Job.created_at < clock.now() - age)
            .where(over(age))
            .where(~exported())
            .order_by(models.Job.created_at)
            .limit(limit)
        )
    ]


def remove(session: orm.Session, job_ids: Collection[str]) -> None:
    session.execute(sa.delete(models.Job).where(models.Job.id.in_(job_ids)))


def move_all(
    session: orm.Session, repository_id: str, new_repository_id: str
) -> None:
    """Let all jobs of a repository be those of another one."""
    session.execute(
        sa.update(models.Job)
        .where(models.Job.repository_id == repository_id)
        .values(repository_id=new_repository_id)
    )
