# SPDX-License-Identifier: Apache-2.0
"""What Cinder's record of a backup says about a running operation.

Cinder has no call to cancel one: a forced delete, or an administrator's
reset of the state, changes the record, and the driver has to look.
"""

from cinder import exception
from cinder.objects import backup as cinder_backup
from cinder.objects import fields
from oslo_db import exception as db_exception
from oslo_log import log as logging

from ebackup_driver import errors

LOG = logging.getLogger(__name__)

_DELETED = (fields.BackupStatus.DELETING, fields.BackupStatus.DELETED)


def is_deleted(backup: cinder_backup.Backup) -> bool:
    """Read the record again; True also if it has been purged since."""
    try:
        _refresh(backup)
    except exception.BackupNotFound:
        return True
    return backup.status in _DELETED


def check_creating(backup: cinder_backup.Backup) -> None:
    """Return if the backup is still to be made.

    :raises BackupDeleted: a user deleted it, by force
    :raises Withdrawn: its state was reset
    """
    if _looks_deleted(backup):
        raise errors.BackupDeleted(f'Backup {backup.id} was deleted')
    if backup.status != fields.BackupStatus.CREATING:
        raise errors.Withdrawn(
            f'Cancelled: state of backup {backup.id} was reset to '
            f'{backup.status} while it was being made'
        )


def check_restoring(backup: cinder_backup.Backup) -> None:
    """Return if the backup is still to be restored.

    :raises Withdrawn: its state was reset, or it was deleted
    """
    if (
        _looks_deleted(backup)
        or backup.status != fields.BackupStatus.RESTORING
    ):
        raise errors.Withdrawn(
            f'Cancelled: state of backup {backup.id} was reset to '
            f'{backup.status} while it was being restored'
        )


def _looks_deleted(backup: cinder_backup.Backup) -> bool:
    """Like is_deleted; by what was read last if the database is away.

    The job needs nothing of it meanwhile, and the next look is soon.
    """
    try:
        return is_deleted(backup)
    except db_exception.DBConnectionError as error:
        LOG.warning(
            "Cinder's database does not tell whether backup %(backup)s is "
            'still wanted: %(error)s',
            {'backup': backup.id, 'error': str(error).partition('\n')[0]},
        )
        return backup.status in _DELETED


def _refresh(backup: cinder_backup.Backup) -> None:
    # A deleted backup's record must be found as well.
    with backup.as_read_deleted():
        backup.refresh()
