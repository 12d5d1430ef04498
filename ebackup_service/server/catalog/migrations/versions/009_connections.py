# SPDX-License-Identifier: Apache-2.0
"""What Cinder may have exported to proxies."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

revision = '009'
down_revision = '008'

UUID = sa.String(36)
DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb')


def upgrade() -> None:
    op.create_table(
        'connections',
        sa.Column('id', UUID, nullable=False),
        sa.Column('job_id', UUID, nullable=False),
        sa.Column('volume_id', UUID, nullable=False),
        sa.Column('exported_type', sa.String(16), nullable=False),
        sa.Column('exported_id', UUID, nullable=False),
        sa.Column('proxy', sa.String(255), nullable=False),
        sa.Column('connector', DOCUMENT, nullable=False),
        sa.Column('created_at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_connections'),
        mysql_engine='InnoDB',
        mysql_charset='utf8mb4',
    )
    for column in ('job_id', 'volume_id'):
        op.create_index(f'ix_connections_{column}', 'connections', [column])
