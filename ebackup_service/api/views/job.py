# SPDX-License-Identifier: Apache-2.0
"""Jobs."""

from typing import Any

from ebackup_service.api.views import instant
from ebackup_service.server.catalog import job as job_rows

FIELDS = (
    'id',
    'kind',
    'state',
    'needs',
    'image_id',
    'volume_id',
    'project_id',
    'repository',
    'proxy',
    'result',
    'error',
)
PROGRESS = (
    'percent',
    'bytes_total',
    'bytes_done',
    'bytes_read',
    'bytes_written',
    'bytes_stored',
    'rate',
    'remaining',
)


def show(job: job_rows.Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in FIELDS} | {
        'progress': {name: job.progress.get(name) for name in PROGRESS},
        'warning': job.parameters.get('availability_zone_mismatch'),
        'created_at': instant.text(job.created_at),
        'runs': job.runs,
        'started_at': instant.text(job.started_at),
        'finished_at': instant.text(job.finished_at),
    }
