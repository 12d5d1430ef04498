# SPDX-License-Identifier: Apache-2.0
"""How often a service took a repository over: for each repository apart."""

from alembic import op
import sqlalchemy as sa

revision = '003'
down_revision = '002'


def upgrade() -> None:
    with op.batch_alter_table('repositories') as repositories:
        repositories.add_column(
            sa.Column(
                'owner_generation',
                sa.Integer(),
                nullable=False,
                server_default='1',
            )
        )
    # It was one number for all of them, of which nothing made a second one.
    with op.batch_alter_table('service') as service:
        service.drop_column('generation')
