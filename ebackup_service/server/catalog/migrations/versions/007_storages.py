# SPDX-License-Identifier: Apache-2.0
"""Production storages that are registered."""

from typing import Any

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

revision = '007'
down_revision = '006'

DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb')
OPTIONS: Any = {'mysql_charset': 'utf8mb4', 'mysql_engine': 'InnoDB'}


def upgrade() -> None:
    op.create_table(
        'storages',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('name', sa.String(length=255), nullable=False),
        sa.Column('kind', sa.String(length=32), nullable=False),
        sa.Column('backends', DOCUMENT, nullable=False),
        sa.Column('settings', DOCUMENT, nullable=False),
        sa.Column('credentials', sa.Text()),
        sa.Column('trust', sa.String(length=16), nullable=False),
        sa.Column('anchors', sa.Boolean(), nullable=False),
        sa.Column('configured', sa.Boolean(), nullable=False),
        sa.Column('created_at', sa.BigInteger(), nullable=False),
        sa.Column('updated_at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_storages'),
        sa.UniqueConstraint('name', name='uq_storages_name'),
        **OPTIONS,
    )
