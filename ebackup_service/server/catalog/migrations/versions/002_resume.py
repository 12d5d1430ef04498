# SPDX-License-Identifier: Apache-2.0
"""Jobs that are begun more than once, and where they go on."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

revision = '002'
down_revision = '001'

DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb')


def upgrade() -> None:
    with op.batch_alter_table('jobs') as jobs:
        jobs.add_column(
            sa.Column('runs', sa.Integer(), nullable=False, server_default='0')
        )
        jobs.add_column(
            sa.Column(
                'begun',
                sa.Boolean(),
                nullable=False,
                server_default=sa.false(),
            )
        )
        jobs.add_column(sa.Column('checkpoint', DOCUMENT))
    # Those that run now have been begun, if they have a start.
    jobs_table = sa.table(
        'jobs',
        sa.column('started_at', sa.BigInteger()),
        sa.column('runs', sa.Integer()),
        sa.column('begun', sa.Boolean()),
    )
    op.execute(
        jobs_table.update()
        .where(jobs_table.c.started_at.is_not(None))
        .values(runs=1, begun=True)
    )
