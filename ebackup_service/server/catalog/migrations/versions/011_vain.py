# SPDX-License-Identifier: Apache-2.0
"""How often nobody took a job up, apart from how often it was given back."""

from alembic import op
import sqlalchemy as sa

revision = '011'
down_revision = '010'


def upgrade() -> None:
    with op.batch_alter_table('jobs') as jobs:
        jobs.add_column(
            sa.Column('vain', sa.Integer(), nullable=False, server_default='0')
        )
