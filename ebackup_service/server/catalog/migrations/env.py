# SPDX-License-Identifier: Apache-2.0
"""Alembic's environment; ``migration`` hands it an open connection."""

from alembic import context

from ebackup_service.server.catalog import models

context.configure(
    connection=context.config.attributes['connection'],
    target_metadata=models.Base.metadata,
    # sqlite alters a table by copying it
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
