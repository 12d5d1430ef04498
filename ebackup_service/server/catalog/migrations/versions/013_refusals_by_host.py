# SPDX-License-Identifier: Apache-2.0
"""Refusals of credentials, also those of one proxy's host alone."""

from alembic import op
import sqlalchemy as sa

revision = '013'
down_revision = '012'


def upgrade() -> None:
    op.create_table(
        'refusals',
        sa.Column('storage_id', sa.String(36), nullable=False),
        sa.Column('host', sa.String(255), nullable=False),
        sa.Column('since', sa.BigInteger(), nullable=False),
        sa.Column('count', sa.Integer(), nullable=False),
        sa.Column('login_after', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('storage_id', 'host', name='pk_refusals'),
        sa.ForeignKeyConstraint(
            ['storage_id'],
            ['storages.id'],
            name='fk_refusals_storage_id',
        ),
        mysql_engine='InnoDB',
        mysql_charset='utf8mb4',
    )
    op.execute(
        'INSERT INTO refusals (storage_id, host, since, count, login_after) '
        "SELECT id, '', refused_since, refusals, login_after FROM storages "
        'WHERE login_after IS NOT NULL'
    )
    with op.batch_alter_table('storages') as storages:
        for column in ('refused_since', 'refusals', 'login_after'):
            storages.drop_column(column)
