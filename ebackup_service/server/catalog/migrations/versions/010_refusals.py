# SPDX-License-Identifier: Apache-2.0
"""Storages that refuse their credentials, and when a job was handed out."""

from alembic import op
import sqlalchemy as sa

revision = '010'
down_revision = '009'


def upgrade() -> None:
    with op.batch_alter_table('storages') as storages:
        storages.add_column(sa.Column('refused_since', sa.BigInteger()))
        storages.add_column(
            sa.Column(
                'refusals',
                sa.Integer(),
                nullable=False,
                server_default=sa.text('0'),
            )
        )
        storages.add_column(sa.Column('login_after', sa.BigInteger()))
    with op.batch_alter_table('jobs') as jobs:
        jobs.add_column(sa.Column('handed_at', sa.BigInteger()))
