# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between the driver and the eBackup service.

One class for each thing that a caller can do something about. Messages begin
with the cause, because Cinder keeps 255 characters of them.
"""

MESSAGE_LIMIT = 250


def shorten(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return message on one line, its end cut off beyond limit characters."""
    line = ' '.join(message.split())
    if len(line) <= limit:
        return line
    return line[: limit - 3] + '...'


class EBackupError(Exception):
    """Base of all; retryable tells whether the same call may succeed later."""

    retryable = False


class ServiceUnreachable(EBackupError):
    """No connection, no answer in time, or a gateway without its service."""

    retryable = True


class NotConfigured(EBackupError):
    """Credentials or endpoint are missing or contradict each other."""


class ServiceError(EBackupError):
    """The service answered, and refused.

    kind is the service's own word for the reason, None where it gave none.
    """

    def __init__(self, message: str, kind: str | None = None):
        super().__init__(message)
        self.kind = kind


class AuthenticationFailed(ServiceError):
    """Nobody knows these credentials."""


class Forbidden(ServiceError):
    """The credentials are good, but do not allow this."""


class NotFound(ServiceError):
    """No such thing, or it belongs to another project."""


class Conflict(ServiceError):
    """The thing exists and is not, or no longer, what was asked for."""


class RequestRefused(ServiceError):
    """The request itself is wrong; it would be wrong again."""


class ServiceFailed(ServiceError):
    """The service met an error of its own, or answers something else."""


class JobFailed(EBackupError):
    """A job ended without success; kind is the service's word for why."""

    def __init__(
        self, message: str, kind: str | None = None, retryable: bool = False
    ):
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


class JobCancelled(JobFailed):
    """Somebody cancelled the job through the service."""


class VolumeNotSupported(EBackupError):
    """Cinder handed over something that no proxy can open by its path."""


class ExportFailed(EBackupError):
    """cinder-volume does not let the proxy reach the volume."""

    retryable = True


class EncryptionMismatch(EBackupError):
    """Backup and volume are not encrypted alike."""


class RecordRefused(EBackupError):
    """An exported record does not belong to the backup it is imported for."""


class RecordUnreadable(EBackupError):
    """Cinder's database failed for long; is the operation still wanted?"""

    retryable = True


class Withdrawn(EBackupError):
    """Cinder's record of the backup no longer asks for this operation."""


class BackupDeleted(Withdrawn):
    """The backup was deleted while it was being made."""
