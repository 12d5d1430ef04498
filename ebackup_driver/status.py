# SPDX-License-Identifier: Apache-2.0
"""What Cinder's record of a backup says about a running operation.

Cinder has no call to cancel one: a forced delete, or an administrator's
reset of the state, changes the record, and the driver has to look.
"""

from collections.abc import Callable
import time

from cinder import exception
from cinder.objects import backup as cinder_backup
from cinder.objects import fields
from oslo_db import exception as db_exception
from oslo_log import log as logging
from sqlalchemy import exc as sql_exception

from ebackup_driver import errors

LOG = logging.getLogger(__name__)

_DELETED = (fields.BackupStatus.DELETING, fields.BackupStatus.DELETED)
# oslo.db passes on as they are those that it does not know, such as too many
# connections.
_DATABASE_ERRORS = (db_exception.DBError, sql_exception.SQLAlchemyError)


class Watch:
    """Makes a check again and again, while the operation runs.

    It is passed when the database fails: the job needs nothing of that
    meanwhile, and the next look is soon.

    timeout: seconds for which it may fail.
    """

    def __init__(
        self,
        check: Callable[[cinder_backup.Backup], None],
        backup: cinder_backup.Backup,
        timeout: float,
    ):
        self._check = check
        self._backup = backup
        self._timeout = timeout
        # When the first was made of the looks that have failed in a row.
        self._failing_since: float | None = None

    def __call__(self) -> None:
        """Raise what the check does.

        :raises RecordUnreadable: the database fails for too long
        """
        asked = time.monotonic()
        try:
            self._check(self._backup)
        except _DATABASE_ERRORS as error:
            self._bear(error, asked)
        else:
            self._failing_since = None

    def _bear(self, error: Exception, asked: float) -> None:
        if self._failing_since is None:
            self._failing_since = asked
        silence = asked - self._failing_since
        _log(self._backup, error)
        if silence >= self._timeout:
            raise errors.RecordUnreadable(
                f"Cinder's database failed for {silence:.0f} s and does not "
                f'tell whether backup {self._backup.id} is still wanted: see '
                'the log of cinder-backup'
            ) from error


def looks_deleted(backup: cinder_backup.Backup) -> bool:
    """Read the record again; what was read last counts if that fails."""
    try:
        return _is_deleted(backup)
    except _DATABASE_ERRORS as error:
        _log(backup, error)
        return backup.status in _DELETED


def check_creating(backup: cinder_backup.Backup) -> None:
    """Return if the backup is still to be made.

    :raises BackupDeleted: a user deleted it, by force
    :raises Withdrawn: its state was reset
    """
    if _is_deleted(backup):
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
    if _is_deleted(backup) or backup.status != fields.BackupStatus.RESTORING:
        raise errors.Withdrawn(
            f'Cancelled: state of backup {backup.id} was reset to '
            f'{backup.status} while it was being restored'
        )


def _is_deleted(backup: cinder_backup.Backup) -> bool:
    """Read the record again; True also if it has been purged since."""
    try:
        # A deleted backup's record must be found as well.
        with backup.as_read_deleted():
            backup.refresh()
    except exception.BackupNotFound:
        return True
    return backup.status in _DELETED


def _log(backup: cinder_backup.Backup, error: Exception) -> None:
    LOG.warning(
        "Cinder's database does not tell whether backup %(backup)s is "
        'still wanted: %(error)s',
        {'backup': backup.id, 'error': str(error).partition('\n')[0]},
    )
