# SPDX-License-Identifier: Apache-2.0
"""fallocate(2) with the modes that make a range read as zeros.

Python's posix_fallocate() only allocates.
"""

import ctypes
import ctypes.util
import errno
import os

# linux/falloc.h
_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02
_ZERO_RANGE = 0x10

# The storage, file system or kernel can't: EINVAL is what a block device says
# of a range that is not whole sectors, EPERM what a sealed file says.
_CANNOT = (
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
    errno.ENODEV,
    errno.EPERM,
    errno.EREMOTEIO,
)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate64.argtypes = (
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_int64,
)


def hole(descriptor: int, offset: int, length: int) -> bool:
    """Punch a hole.

    :returns: whether the range now reads as zeros; False: nobody can do it,
        the content is as before
    :raises: OSError for real failures, such as EIO and ENOSPC
    """
    return _fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length)


def zero_range(descriptor: int, offset: int, length: int) -> bool:
    """Have the storage write zeros, or the kernel, which may write them all.

    See hole().
    """
    return _fallocate(descriptor, _ZERO_RANGE | _KEEP_SIZE, offset, length)


def _fallocate(descriptor: int, mode: int, offset: int, length: int) -> bool:
    while _libc.fallocate64(descriptor, mode, offset, length):
        code = ctypes.get_errno()
        if code in _CANNOT:
            return False
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
    return True
