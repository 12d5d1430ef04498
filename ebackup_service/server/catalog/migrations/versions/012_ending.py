# SPDX-License-Identifier: Apache-2.0
"""When a driver began to end what another one had left exported."""

from alembic import op
import sqlalchemy as sa

revision = '012'
down_revision = '011'


def upgrade() -> None:
    with op.batch_alter_table('connections') as connections:
        connections.add_column(sa.Column('ending_at', sa.BigInteger()))
