# SPDX-License-Identifier: Apache-2.0
"""Our snapshots on production storage."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

revision = '008'
down_revision = '007'

UUID = sa.String(36)
DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb')


def upgrade() -> None:
    op.create_table(
        'snapshots',
        sa.Column('id', UUID, nullable=False),
        sa.Column('state', sa.String(16), nullable=False),
        sa.Column('storage_id', UUID, nullable=False),
        sa.Column('repository_id', UUID, nullable=False),
        sa.Column('chain_id', sa.Integer(), nullable=False),
        sa.Column('image_id', UUID, nullable=False),
        sa.Column('job_id', UUID, nullable=False),
        sa.Column('volume', DOCUMENT, nullable=False),
        sa.Column('lun', sa.String(255), nullable=False),
        sa.Column('name', sa.String(255), nullable=False),
        sa.Column('snapshot_id', sa.String(255)),
        sa.Column('failures', sa.Integer(), nullable=False),
        sa.Column('release_after', sa.BigInteger(), nullable=False),
        sa.Column('created_at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_snapshots'),
        sa.UniqueConstraint('name', name='uq_snapshots_name'),
        sa.ForeignKeyConstraint(
            ['storage_id'], ['storages.id'], name='fk_snapshots_storage_id'
        ),
        sa.ForeignKeyConstraint(
            ['repository_id'],
            ['repositories.id'],
            name='fk_snapshots_repository_id',
        ),
        sa.ForeignKeyConstraint(
            ['chain_id'], ['chains.id'], name='fk_snapshots_chain_id'
        ),
        mysql_engine='InnoDB',
        mysql_charset='utf8mb4',
    )
    for column in ('chain_id', 'image_id', 'job_id'):
        op.create_index(f'ix_snapshots_{column}', 'snapshots', [column])
    op.create_index(
        'ix_snapshots_state_release_after',
        'snapshots',
        ['state', 'release_after'],
    )
