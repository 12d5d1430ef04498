# SPDX-License-Identifier: Apache-2.0
"""What Cinder may still export for jobs that have ended."""

from typing import Any

from ebackup_service.server.catalog import connection as connection_rows


def show(connection: connection_rows.Connection) -> dict[str, Any]:
    return {
        'job_id': connection.job_id,
        'connector': connection.connector,
        'exported': {
            'type': connection.exported_type,
            'id': connection.exported_id,
        },
    }
