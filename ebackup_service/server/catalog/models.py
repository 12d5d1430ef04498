# SPDX-License-Identifier: Apache-2.0
"""The catalog's tables.

Instants are BIGINT milliseconds by the database's clock (``clock``), sizes
are bytes, documents are JSON text. A column that another row's fate hangs on
is changed only by the compare-and-swap functions beside each noun.
"""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy import orm

UUID = sa.String(36)
NAME = sa.String(255)


class Document(sa.types.TypeDecorator[Any]):
    """A JSON document as text; MySQL's TEXT would end at 64 KiB."""

    impl = sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb')
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        if value is None:
            return None
        return json.dumps(value, separators=(',', ':'), sort_keys=True)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else json.loads(value)


class Base(orm.DeclarativeBase):
    # Explicit names let migrations name what they change on every database.
    metadata = sa.MetaData(
        naming_convention={
            'ix': 'ix_%(table_name)s_%(column_0_N_name)s',
            'uq': 'uq_%(table_name)s_%(column_0_N_name)s',
            'fk': 'fk_%(table_name)s_%(column_0_name)s',
            'pk': 'pk_%(table_name)s',
        }
    )
    __table_args__: Any = {
        'mysql_engine': 'InnoDB',
        'mysql_charset': 'utf8mb4',
    }


def _table(*constraints: Any) -> Any:
    return (*constraints, Base.__table_args__)


class Service(Base):
    """One row: which service this catalog belongs to.

    Its lock serialises every transaction that decides from several rows.
    """

    __tablename__ = 'service'

    id: orm.Mapped[int] = orm.mapped_column(
        sa.Integer, primary_key=True, autoincrement=False
    )
    uuid: orm.Mapped[str] = orm.mapped_column(UUID)


class Repository(Base):
    __tablename__ = 'repositories'
    __table_args__ = _table(sa.UniqueConstraint('name'))

    id: orm.Mapped[str] = orm.mapped_column(UUID, primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(NAME)
    url: orm.Mapped[str] = orm.mapped_column(sa.String(1024))
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    error: orm.Mapped[Any | None] = orm.mapped_column(Document)
    # how often it was claimed and taken over: with the service's id, whose
    # the repository says that it is
    owner_generation: orm.Mapped[int] = orm.mapped_column(
        sa.Integer, default=1
    )
    usage: orm.Mapped[Any | None] = orm.mapped_column(Document)
    used_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    # events since the last collection that may have left garbage
    garbage: orm.Mapped[int] = orm.mapped_column(sa.Integer, default=0)
    collect_after: orm.Mapped[int] = orm.mapped_column(
        sa.BigInteger, default=0
    )
    collected_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    # when everything was last looked at for it
    swept_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    # how far the data was read: {position, began, complete, last}; see
    # server.verification
    verification: orm.Mapped[Any | None] = orm.mapped_column(Document)
    # when the next verification of its own accord may begin
    verify_after: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, default=0)
    created_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)


class Chain(Base):
    __tablename__ = 'chains'
    __table_args__ = _table(
        sa.UniqueConstraint('repository_id', 'project_id', 'volume_id')
    )

    id: orm.Mapped[int] = orm.mapped_column(sa.Integer, primary_key=True)
    repository_id: orm.Mapped[str] = orm.mapped_column(
        UUID, sa.ForeignKey('repositories.id')
    )
    project_id: orm.Mapped[str] = orm.mapped_column(NAME)
    volume_id: orm.Mapped[str] = orm.mapped_column(UUID)
    next_generation: orm.Mapped[int] = orm.mapped_column(sa.Integer)
    chunk_size: orm.Mapped[int] = orm.mapped_column(sa.Integer)
    created_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)


class Image(Base):
    """One backup image; stays as a tombstone when deleted.

    A tombstone of an id that was never seen has only id, state, instants and,
    if known, the project that asked for it.
    """

    __tablename__ = 'images'
    __table_args__ = _table(
        sa.UniqueConstraint('chain_id', 'generation'),
        sa.Index(None, 'project_id', 'created_at'),
        sa.Index(None, 'volume_id', 'created_at'),
        # with the id: pages of ids, and all of them, without the rows
        sa.Index(None, 'repository_id', 'state', 'id'),
    )

    id: orm.Mapped[str] = orm.mapped_column(UUID, primary_key=True)
    repository_id: orm.Mapped[str | None] = orm.mapped_column(
        UUID, sa.ForeignKey('repositories.id')
    )
    chain_id: orm.Mapped[int | None] = orm.mapped_column(
        sa.Integer, sa.ForeignKey('chains.id')
    )
    project_id: orm.Mapped[str | None] = orm.mapped_column(NAME)
    user_id: orm.Mapped[str | None] = orm.mapped_column(NAME)
    volume_id: orm.Mapped[str | None] = orm.mapped_column(UUID)
    snapshot_id: orm.Mapped[str | None] = orm.mapped_column(UUID)
    generation: orm.Mapped[int | None] = orm.mapped_column(sa.Integer)
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    size: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    chunk_size: orm.Mapped[int | None] = orm.mapped_column(sa.Integer)
    kind: orm.Mapped[str | None] = orm.mapped_column(sa.String(16))
    bytes_read: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    bytes_stored: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    name: orm.Mapped[str | None] = orm.mapped_column(NAME)
    description: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    volume: orm.Mapped[Any | None] = orm.mapped_column(Document)
    volume_metadata: orm.Mapped[Any | None] = orm.mapped_column(Document)
    record: orm.Mapped[Any | None] = orm.mapped_column(Document)
    # what the proxy committed: {tree, ...}; null until then
    root: orm.Mapped[Any | None] = orm.mapped_column(Document)
    error: orm.Mapped[Any | None] = orm.mapped_column(Document)
    # what the last check found damaged: [[offset, length], ...]; and its sum
    damage: orm.Mapped[Any | None] = orm.mapped_column(Document)
    damaged_bytes: orm.Mapped[int] = orm.mapped_column(
        sa.BigInteger, default=0
    )
    # whether a restore succeeds that leaves out what is damaged
    restore_damaged: orm.Mapped[bool] = orm.mapped_column(
        sa.Boolean, default=False
    )
    job_id: orm.Mapped[str | None] = orm.mapped_column(UUID)
    created_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    updated_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)


class Job(Base):
    __tablename__ = 'jobs'
    __table_args__ = _table(
        sa.Index(None, 'state', 'kind'),
        sa.Index(None, 'image_id'),
        sa.Index(None, 'volume_id', 'state'),
        sa.Index(None, 'created_at'),
    )

    id: orm.Mapped[str] = orm.mapped_column(UUID, primary_key=True)
    kind: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    needs: orm.Mapped[str | None] = orm.mapped_column(sa.String(16))
    repository_id: orm.Mapped[str] = orm.mapped_column(
        UUID, sa.ForeignKey('repositories.id')
    )
    image_id: orm.Mapped[str | None] = orm.mapped_column(UUID)
    # the volume that is read (backup) or written (restore)
    volume_id: orm.Mapped[str | None] = orm.mapped_column(UUID)
    project_id: orm.Mapped[str | None] = orm.mapped_column(NAME)
    # what was asked for beyond image and volume
    parameters: orm.Mapped[Any] = orm.mapped_column(Document, nullable=False)
    attachment: orm.Mapped[Any | None] = orm.mapped_column(Document)
    # trees that collection must keep while this job is unfinished:
    # {image_id, tree, size, chunk_size}: base of a backup, image of a restore
    pin: orm.Mapped[Any | None] = orm.mapped_column(Document)
    proxy: orm.Mapped[str | None] = orm.mapped_column(NAME)
    # counts the hand-outs; the newest alone may renew, commit and finish
    token: orm.Mapped[int] = orm.mapped_column(sa.Integer, default=0)
    # the newest of them
    handed_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    lease_until: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    # runs that have begun, and whether that of the newest token has
    runs: orm.Mapped[int] = orm.mapped_column(sa.Integer, default=0)
    begun: orm.Mapped[bool] = orm.mapped_column(sa.Boolean, default=False)
    # hand-outs of which nobody was heard before their lease ended
    vain: orm.Mapped[int] = orm.mapped_column(sa.Integer, default=0)
    # where the next run goes on: {tree, leaf, total}
    checkpoint: orm.Mapped[Any | None] = orm.mapped_column(Document)
    # last sign of the driver; null when no driver stands behind the job
    beat_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    ready_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    cancel_reason: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    progress: orm.Mapped[Any | None] = orm.mapped_column(Document)
    result: orm.Mapped[Any | None] = orm.mapped_column(Document)
    error: orm.Mapped[Any | None] = orm.mapped_column(Document)
    created_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    started_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    finished_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)


class Storage(Base):
    __tablename__ = 'storages'
    __table_args__ = _table(sa.UniqueConstraint('name'))

    id: orm.Mapped[str] = orm.mapped_column(UUID, primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(NAME)
    kind: orm.Mapped[str] = orm.mapped_column(sa.String(32))
    # Cinder's that it serves: ["host@backend", ...]; each has one storage
    backends: orm.Mapped[Any] = orm.mapped_column(Document, nullable=False)
    settings: orm.Mapped[Any] = orm.mapped_column(Document, nullable=False)
    # encrypted: see server.credentials
    credentials: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    trust: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    # whether each chain leaves one snapshot on it
    anchors: orm.Mapped[bool] = orm.mapped_column(sa.Boolean)
    # whether the service's configuration says what it is
    configured: orm.Mapped[bool] = orm.mapped_column(sa.Boolean)
    created_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    updated_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)


class Refusal(Base):
    """A storage refuses credentials; see server.refusals."""

    __tablename__ = 'refusals'

    storage_id: orm.Mapped[str] = orm.mapped_column(
        UUID, sa.ForeignKey('storages.id'), primary_key=True
    )
    # whose proxy was refused; '': it would be any other, too
    host: orm.Mapped[str] = orm.mapped_column(NAME, primary_key=True)
    since: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    # how often in a row, and when they may be tried again
    count: orm.Mapped[int] = orm.mapped_column(sa.Integer)
    login_after: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)


class Snapshot(Base):
    """One of ours on production storage."""

    __tablename__ = 'snapshots'
    __table_args__ = _table(
        sa.UniqueConstraint('name'),
        sa.Index(None, 'chain_id'),
        sa.Index(None, 'image_id'),
        sa.Index(None, 'job_id'),
        sa.Index(None, 'state', 'release_after'),
    )

    id: orm.Mapped[str] = orm.mapped_column(UUID, primary_key=True)
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    storage_id: orm.Mapped[str] = orm.mapped_column(
        UUID, sa.ForeignKey('storages.id')
    )
    repository_id: orm.Mapped[str] = orm.mapped_column(
        UUID, sa.ForeignKey('repositories.id')
    )
    chain_id: orm.Mapped[int] = orm.mapped_column(
        sa.Integer, sa.ForeignKey('chains.id')
    )
    image_id: orm.Mapped[str] = orm.mapped_column(UUID)
    job_id: orm.Mapped[str] = orm.mapped_column(UUID)
    # what finds the volume: a VolumeSpec
    volume: orm.Mapped[Any] = orm.mapped_column(Document, nullable=False)
    # key of the LUN that was found
    lun: orm.Mapped[str] = orm.mapped_column(NAME)
    name: orm.Mapped[str] = orm.mapped_column(NAME)
    # the storage's; null while nobody has said that it exists
    snapshot_id: orm.Mapped[str | None] = orm.mapped_column(NAME)
    # how often it could not be removed, and when it may be tried again
    failures: orm.Mapped[int] = orm.mapped_column(sa.Integer)
    release_after: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    created_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)


class Connection(Base):
    """What Cinder may have exported to a proxy for a job."""

    __tablename__ = 'connections'
    __table_args__ = _table(
        sa.Index(None, 'job_id'), sa.Index(None, 'volume_id')
    )

    id: orm.Mapped[str] = orm.mapped_column(UUID, primary_key=True)
    # not a foreign key: jobs are forgotten, this is not
    job_id: orm.Mapped[str] = orm.mapped_column(UUID)
    volume_id: orm.Mapped[str] = orm.mapped_column(UUID)
    # Cinder's volume or snapshot that is exported
    exported_type: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    exported_id: orm.Mapped[str] = orm.mapped_column(UUID)
    proxy: orm.Mapped[str] = orm.mapped_column(NAME)
    # os-brick's properties of the proxy's host; no secrets
    connector: orm.Mapped[Any] = orm.mapped_column(Document, nullable=False)
    # when a driver last began to end what is left
    ending_at: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)
    created_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)


class Proxy(Base):
    __tablename__ = 'proxies'

    host: orm.Mapped[str] = orm.mapped_column(NAME, primary_key=True)
    version: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    capabilities: orm.Mapped[Any] = orm.mapped_column(Document, nullable=False)
    announced_at: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
