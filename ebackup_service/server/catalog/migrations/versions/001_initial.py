# SPDX-License-Identifier: Apache-2.0
"""The first tables."""

from typing import Any

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

revision = '001'
down_revision = None

DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb')
OPTIONS: Any = {'mysql_charset': 'utf8mb4', 'mysql_engine': 'InnoDB'}


def upgrade() -> None:
    op.create_table(
        'proxies',
        sa.Column('host', sa.String(length=255), nullable=False),
        sa.Column('version', sa.String(length=64), nullable=False),
        sa.Column('capabilities', DOCUMENT, nullable=False),
        sa.Column('announced_at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('host', name='pk_proxies'),
        **OPTIONS,
    )
    op.create_table(
        'repositories',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('name', sa.String(length=255), nullable=False),
        sa.Column('url', sa.String(length=1024), nullable=False),
        sa.Column('state', sa.String(length=16), nullable=False),
        sa.Column('error', DOCUMENT),
        sa.Column('usage', DOCUMENT),
        sa.Column('used_at', sa.BigInteger()),
        sa.Column('garbage', sa.Integer(), nullable=False),
        sa.Column('collect_after', sa.BigInteger(), nullable=False),
        sa.Column('collected_at', sa.BigInteger()),
        sa.Column('created_at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_repositories'),
        sa.UniqueConstraint('name', name='uq_repositories_name'),
        **OPTIONS,
    )
    op.create_table(
        'service',
        sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('uuid', sa.String(length=36), nullable=False),
        sa.Column('generation', sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_service'),
        **OPTIONS,
    )
    op.create_table(
        'chains',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('repository_id', sa.String(length=36), nullable=False),
        sa.Column('project_id', sa.String(length=255), nullable=False),
        sa.Column('volume_id', sa.String(length=36), nullable=False),
        sa.Column('next_generation', sa.Integer(), nullable=False),
        sa.Column('chunk_size', sa.Integer(), nullable=False),
        sa.Column('created_at', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ['repository_id'],
            ['repositories.id'],
            name='fk_chains_repository_id',
        ),
        sa.PrimaryKeyConstraint('id', name='pk_chains'),
        sa.UniqueConstraint(
            'repository_id',
            'project_id',
            'volume_id',
            name='uq_chains_repository_id_project_id_volume_id',
        ),
        **OPTIONS,
    )
    op.create_table(
        'jobs',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('kind', sa.String(length=16), nullable=False),
        sa.Column('state', sa.String(length=16), nullable=False),
        sa.Column('needs', sa.String(length=16)),
        sa.Column('repository_id', sa.String(length=36), nullable=False),
        sa.Column('image_id', sa.String(length=36)),
        sa.Column('volume_id', sa.String(length=36)),
        sa.Column('project_id', sa.String(length=255)),
        sa.Column('parameters', DOCUMENT, nullable=False),
        sa.Column('attachment', DOCUMENT),
        sa.Column('pin', DOCUMENT),
        sa.Column('proxy', sa.String(length=255)),
        sa.Column('token', sa.Integer(), nullable=False),
        sa.Column('lease_until', sa.BigInteger()),
        sa.Column('beat_at', sa.BigInteger()),
        sa.Column('ready_at', sa.BigInteger()),
        sa.Column('cancel_reason', sa.String(length=255)),
        sa.Column('progress', DOCUMENT),
        sa.Column('result', DOCUMENT),
        sa.Column('error', DOCUMENT),
        sa.Column('created_at', sa.BigInteger(), nullable=False),
        sa.Column('started_at', sa.BigInteger()),
        sa.Column('finished_at', sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ['repository_id'],
            ['repositories.id'],
            name='fk_jobs_repository_id',
        ),
        sa.PrimaryKeyConstraint('id', name='pk_jobs'),
        **OPTIONS,
    )
    op.create_index('ix_jobs_created_at', 'jobs', ['created_at'])
    op.create_index('ix_jobs_image_id', 'jobs', ['image_id'])
    op.create_index('ix_jobs_state_kind', 'jobs', ['state', 'kind'])
    op.create_index('ix_jobs_volume_id_state', 'jobs', ['volume_id', 'state'])
    op.create_table(
        'images',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('repository_id', sa.String(length=36)),
        sa.Column('chain_id', sa.Integer()),
        sa.Column('project_id', sa.String(length=255)),
        sa.Column('user_id', sa.String(length=255)),
        sa.Column('volume_id', sa.String(length=36)),
        sa.Column('snapshot_id', sa.String(length=36)),
        sa.Column('generation', sa.Integer()),
        sa.Column('state', sa.String(length=16), nullable=False),
        sa.Column('size', sa.BigInteger()),
        sa.Column('chunk_size', sa.Integer()),
        sa.Column('kind', sa.String(length=16)),
        sa.Column('bytes_read', sa.BigInteger()),
        sa.Column('bytes_stored', sa.BigInteger()),
        sa.Column('name', sa.String(length=255)),
        sa.Column('description', sa.Text()),
        sa.Column('volume', DOCUMENT),
        sa.Column('volume_metadata', DOCUMENT),
        sa.Column('record', DOCUMENT),
        sa.Column('root', DOCUMENT),
        sa.Column('error', DOCUMENT),
        sa.Column('job_id', sa.String(length=36)),
        sa.Column('created_at', sa.BigInteger(), nullable=False),
        sa.Column('updated_at', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ['chain_id'], ['chains.id'], name='fk_images_chain_id'
        ),
        sa.ForeignKeyConstraint(
            ['repository_id'],
            ['repositories.id'],
            name='fk_images_repository_id',
        ),
        sa.PrimaryKeyConstraint('id', name='pk_images'),
        sa.UniqueConstraint(
            'chain_id', 'generation', name='uq_images_chain_id_generation'
        ),
        **OPTIONS,
    )
    op.create_index(
        'ix_images_project_id_created_at',
        'images',
        ['project_id', 'created_at'],
    )
    op.create_index(
        'ix_images_repository_id_state', 'images', ['repository_id', 'state']
    )
    op.create_index(
        'ix_images_volume_id_created_at', 'images', ['volume_id', 'created_at']
    )
