# SPDX-License-Identifier: Apache-2.0
"""When everything in a repository was last looked at for garbage."""

from alembic import op
import sqlalchemy as sa

revision = '006'
down_revision = '005'


def upgrade() -> None:
    with op.batch_alter_table('repositories') as repositories:
        repositories.add_column(sa.Column('swept_at', sa.BigInteger()))
