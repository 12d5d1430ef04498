# SPDX-License-Identifier: Apache-2.0
"""From whatever a job raised to the error that its row carries."""

from oslo_log import log

from ebackup_service.engine import control as job_control
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import errors
from ebackup_service.repository import errors as repository_errors
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)

_REPOSITORY_KINDS: dict[type[repository_errors.RepositoryError], str] = {
    repository_errors.InvalidUrl: 'repository-url',
    repository_errors.StorageUnavailable: 'repository-unavailable',
    repository_errors.StorageFull: 'repository-full',
    repository_errors.StorageReadOnly: 'repository-read-only',
    repository_errors.StorageDenied: 'repository-denied',
    repository_errors.Corrupt: 'repository-corrupt',
    repository_errors.ObjectExists: 'repository-occupied',
    repository_errors.ObjectMissing: 'repository-corrupt',
    repository_errors.ObjectTruncated: 'repository-corrupt',
    repository_errors.NotARepository: 'repository-missing',
    repository_errors.UnsupportedFormat: 'repository-format',
    repository_errors.ForeignOwner: 'repository-foreign',
    repository_errors.CatalogOutdated: 'catalog-outdated',
    repository_errors.RepositoryMismatch: 'repository-mismatch',
    repository_errors.ImageMissing: 'image-missing',
    repository_errors.ImageDeleted: 'image-deleted',
}
_KNOWN = (
    production_errors.ProductionError,
    errors.ProxyError,
    job_control.JobStopped,
    repository_errors.RepositoryError,
)
# Another run may do better; a checkpoint saves it what this one has done.
_RETURNED = (
    'proxy-stopping',
    'lease-lost',
    'heartbeat-lost',
    'repository-unavailable',
)
# So may it where proxies reach the volume by themselves. Behind a path that
# Cinder has attached nothing comes back.
_AWAY = ('source-unavailable', 'target-unavailable')
_MOVING = ('backup', 'restore')
# What Cinder keeps of a message.
_LONGEST = 255


def outcome(
    job: messages.JobSpec,
    error: BaseException,
    stop: messages.JobError | None,
) -> messages.Outcome:
    """What to report of a job that raised.

    :param stop: why the job was told to stop, if it was
    """
    if isinstance(cause(error), job_control.JobStopped) and stop is not None:
        return messages.Outcome(state(stop), None, stop)
    found = describe(job, error)
    away = found.kind in _AWAY and job.storage and job.kind in _MOVING
    return messages.Outcome('returned' if away else state(found), None, found)


def state(error: messages.JobError) -> str:
    """What an error means to any job: its end, or that of this run only."""
    if error.kind == 'cancelled':
        return 'cancelled'
    return 'returned' if error.kind in _RETURNED else 'failed'


def cause(error: BaseException) -> BaseException:
    """The error that counts, of those that happened in each other's course.

    What goes wrong while something that went wrong is cleaned up must not
    hide it: the last one that is known, if any is.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, _KNOWN):
            return found
        hidden = None if found.__suppress_context__ else found.__context__
        found = found.__cause__ or hidden
    return error


def describe(job: messages.JobSpec, error: BaseException) -> messages.JobError:
    """The error that the job's row carries."""
    known = cause(error)
    if isinstance(
        known, production_errors.ProductionError | errors.ProxyError
    ):
        return _error(known.kind, str(known), known.retryable)
    if isinstance(known, job_control.JobStopped):
        return _error(known.kind, str(known), True)
    if isinstance(known, repository_errors.RepositoryError):
        return _error(_kind(known), str(known), known.retryable)
    # A bug of ours, or of what we call: the log has what a row must not.
    LOG.error('%s job %s failed', job.kind, job.id, exc_info=error)
    return _error(
        'internal-error',
        f'{type(error).__name__} in {job.kind} job {job.id}: see the log of '
        'the proxy.',
        False,
    )


def _kind(error: repository_errors.RepositoryError) -> str:
    for cls in type(error).__mro__:
        if cls in _REPOSITORY_KINDS:
            return _REPOSITORY_KINDS[cls]
    return 'repository-error'


def _error(kind: str, message: str, retryable: bool) -> messages.JobError:
    return messages.JobError(kind, message[:_LONGEST], retryable)
