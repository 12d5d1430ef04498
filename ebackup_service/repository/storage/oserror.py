# SPDX-License-Identifier: Apache-2.0
"""What an OSError of a file system means for a storage."""

from collections.abc import Iterator
import contextlib
import errno

from ebackup_service.repository import errors

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMLINK}
_DENIED = {errno.EACCES, errno.EPERM}
# What bad sectors, and what file systems that find a wrong checksum, come to;
# EIO is what many others come to as well.
_UNREADABLE = {
    errno.EBADE,  # ZFS
    errno.EBADMSG,  # ext4, XFS
    errno.EILSEQ,
    errno.EIO,
    errno.ENODATA,
    errno.EREMOTEIO,
    errno.EUCLEAN,  # ext4, XFS, Btrfs
}


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
        if error.errno in _UNREADABLE:
            raise errors.ObjectUnreadable(
                _message(error, f'reading {what}')
            ) from error
        raise errors.StorageUnavailable(
            _message(error, f'reading {what}')
        ) from error


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
        if error.errno == errno.EROFS:
            raise errors.StorageReadOnly(
                f'{error.strerror} when writing {what}; check the mount '
                'options of the repository, and ReadWritePaths if a systemd '
                'unit has ProtectSystem'
            ) from error
        if error.errno in _DENIED:
            raise errors.StorageDenied(
                f'{error.strerror} when writing {what}; check the owner and '
                'mode of the repository'
            ) from error
        raise errors.StorageUnavailable(
            _message(error, f'writing {what}')
        ) from error


@contextlib.contextmanager
def deleting(what: str) -> Iterator[None]:
    """Translate what a deletion of the named thing raises."""
    with writing(what):
        try:
            yield
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            raise errors.ObjectUnreadable(
                _message(error, f'deleting {what}')
            ) from error


def _message(error: OSError, doing: str) -> str:
    return f'{error.strerror or error} when {doing}; check the backup storage'
