# SPDX-License-Identifier: Apache-2.0
"""Images of which what is not damaged may be restored."""

from alembic import op
import sqlalchemy as sa

revision = '005'
down_revision = '004'


def upgrade() -> None:
    with op.batch_alter_table('images') as images:
        images.add_column(
            sa.Column(
                'restore_damaged',
                sa.Boolean(),
                nullable=False,
                server_default=sa.false(),
            )
        )
