# SPDX-License-Identifier: Apache-2.0
"""Jobs."""

from collections.abc import Iterable
from typing import Any

from ebackup_service.api.views import connection
from ebackup_service.api.views import instant
from ebackup_service.server.catalog import connection as connection_rows
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
        'warning': _warning(job),
        'created_at': instant.text(job.created_at),
        'runs': job.runs,
        'started_at': instant.text(job.started_at),
        'finished_at': instant.text(job.finished_at),
    }


def listed(
    job: job_rows.Job, exported: Iterable[connection_rows.Connection]
) -> dict[str, Any]:
    """With what Cinder may export for it."""
    return show(job) | {
        'exported': [connection.listed(one) for one in exported]
    }


def to_driver(job: job_rows.Job) -> dict[str, Any]:
    """With what the volume is to be exported to, if it is.

    That tells of hosts what is nobody else's business.
    """
    connector = None
    if job.needs == job_rows.CONNECTION and job.attachment is not None:
        connector = job.attachment['connector']
    return show(job) | {'connector': connector}


def with_left(
    job: job_rows.Job, left: Iterable[connection_rows.Connection]
) -> dict[str, Any]:
    """With what Cinder may still export for ended jobs of the volume."""
    return to_driver(job) | {
        'connections': [connection.show(one) for one in left]
    }


def _warning(job: job_rows.Job) -> str | None:
    """What whoever asked for the job should know, though it succeeds."""
    warnings = [
        job.parameters[name]
        for name in ('availability_zone_mismatch', 'by_attachment')
        if name in job.parameters
    ]
    lost = (job.result or {}).get('damaged_bytes')
    if lost and job.kind == job_rows.RESTORE:
        warnings.append(
            f'{lost} bytes of image {job.image_id} are damaged, and are zeros '
            f'in volume {job.volume_id}.'
        )
    return ' '.join(warnings) or None
