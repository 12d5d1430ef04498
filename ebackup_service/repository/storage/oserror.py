# SPDX-License-Identifier: Apache-2.0
"""What an OSError of a file system means for a storage."""

from collections.abc import Iterator
import contextlib
import errno

from ebackup_service.repository import errors

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMLINK}
_DENIED = {errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Translate what a read of the named thing raises."""
    try:
        yield
    except OSError as error:
        # Parts of the key that are no directories: there is no such object.
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise errors.ObjectMissing(f'No object {what}') from error
        if error.errno in _DENIED:
            raise errors.StorageDenied(
                f'{error.strerror} when reading {what}; check the owner and '
                'mode of the repository'
            ) from error
        raise _unavailable(error, f'reading {what}') from error


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Translate what a write of the named thing raises."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise errors.StorageFull(
                f'{error.strerror} when writing {what}; free or add space on '
                'the backup storage'
            ) from error
        if error.errno == errno.EROFS or error.errno in _DENIED:
            raise errors.StorageReadOnly(
                f'{error.strerror} when writing {what}; check the mount '
                'options, owner and mode of the repository'
            ) from error
        raise _unavailable(error, f'writing {what}') from error


def _unavailable(error: OSError, doing: str) -> errors.StorageUnavailable:
    return errors.StorageUnavailable(
        f'{error.strerror or error} when {doing}; check the backup storage'
    )
