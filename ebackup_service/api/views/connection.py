# SPDX-License-Identifier: Apache-2.0
"""What Cinder may export for jobs."""

from typing import Any

from ebackup_service.server.catalog import connection as connection_rows


def listed(connection: connection_rows.Connection) -> dict[str, Any]:
    """What is exported, and to whom; not how that host is to be named."""
    return {
        'type': connection.exported_type,
        'id': connection.exported_id,
        'proxy': connection.proxy,
    }


def show(connection: connection_rows.Connection) -> dict[str, Any]:
    """All that whoever ends it has to tell Cinder."""
    return {
        'job_id': connection.job_id,
        'connector': connection.connector,
        'exported': {
            'type': connection.exported_type,
            'id': connection.exported_id,
        },
    }
