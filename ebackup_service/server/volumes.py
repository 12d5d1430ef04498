# SPDX-License-Identifier: Apache-2.0
"""Which jobs may meet at one volume: many backups, or one restore."""

from sqlalchemy import orm

from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import errors


def check_unwritten(session: orm.Session, volume_id: str) -> None:
    """A backup must not read what a restore is just writing.

    :raises errors.Conflict: ``volume-busy``
    """
    for job in job_rows.unfinished(session, volume_id=volume_id):
        if job.kind == job_rows.RESTORE:
            raise _busy(volume_id, job)


def check_unused(session: orm.Session, volume_id: str) -> None:
    """A restore must have its target to itself.

    :raises errors.Conflict: ``volume-busy``
    """
    for job in job_rows.unfinished(session, volume_id=volume_id):
        if job.kind in job_rows.DATA_KINDS:
            raise _busy(volume_id, job)


def _busy(volume_id: str, job: job_rows.Job) -> errors.Conflict:
    return errors.Conflict(
        'volume-busy',
        f'Volume {volume_id} is part of {job.state} {job.kind} job {job.id}; '
        'wait for its end or cancel it.',
    )
