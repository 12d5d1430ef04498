# SPDX-License-Identifier: Apache-2.0
"""Ids of the images of a repository, in order, without looking at the rows."""

from alembic import op

revision = '014'
down_revision = '013'


def upgrade() -> None:
    # First the new one: MariaDB wants one for the foreign key at any time.
    op.create_index(
        'ix_images_repository_id_state_id',
        'images',
        ['repository_id', 'state', 'id'],
    )
    op.drop_index('ix_images_repository_id_state', 'images')
