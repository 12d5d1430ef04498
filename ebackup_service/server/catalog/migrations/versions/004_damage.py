# SPDX-License-Identifier: Apache-2.0
"""What of a repository was verified, and what of an image is damaged."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

revision = '004'
down_revision = '003'

DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb')


def _number(name: str) -> 'sa.Column[int]':
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default='0')


def upgrade() -> None:
    with op.batch_alter_table('repositories') as repositories:
        repositories.add_column(sa.Column('verification', DOCUMENT))
        repositories.add_column(_number('verify_after'))
    with op.batch_alter_table('images') as images:
        images.add_column(sa.Column('damage', DOCUMENT))
        images.add_column(_number('damaged_bytes'))
