# SPDX-License-Identifier: Apache-2.0
"""Renames that take nobody's place: renameat2(2), which os does not have."""

import ctypes
import errno
import os

_NOREPLACE = 1  # RENAME_NOREPLACE of linux/fs.h

_call = getattr(ctypes.CDLL(None, use_errno=True), 'renameat2', None)


def rename(source: str, target: str, directory: int) -> None:
    """Rename a file, both paths being relative to an open directory.

    :raises FileExistsError: the target is there; nothing has been changed
    :raises OSError: EINVAL or ENOSYS, where this kernel, C library or file
        system doesn't have it
    """
    if _call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
    result = _call(
        directory,
        os.fsencode(source),
        directory,
        os.fsencode(target),
        _NOREPLACE,
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)
