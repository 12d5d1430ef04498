# SPDX-License-Identifier: Apache-2.0
"""Write large buffers past the page cache where the file system lets us.

A pack is written once and not read again soon: caching it costs a copy and
evicts what is useful (measured: a narrower spread and less system time).
"""

from collections.abc import Sequence
import errno
import fcntl
import os

from ebackup_service.repository.storage import base

ALIGNMENT = 4096
# Below this the cache is cheaper than two more system calls.
_WORTH_IT = 1024 * 1024
# Linux writes no more than this by one call.
_MOST = 0x7FFFF000


def write_all(descriptor: int, parts: Sequence[base.Buffer]) -> None:
    """Write all parts to a new file, in order, from its beginning.

    Direct I/O is tried for one large part; whatever the file system doesn't
    like about it (EINVAL), and the unaligned tail, goes through the cache.
    """
    views = [memoryview(part).cast('B') for part in parts if len(part)]
    if len(views) == 1 and len(views[0]) >= _WORTH_IT:
        _write_direct(descriptor, views[0])
        return
    for view in views:
        _write(descriptor, view)


def _write_direct(descriptor: int, view: memoryview) -> None:
    done = 0
    if _set_direct(descriptor, True):
        aligned = len(view) // ALIGNMENT * ALIGNMENT
        try:
            while done < aligned:
                done += os.write(descriptor, view[done:aligned][:_MOST])
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        _set_direct(descriptor, False)
    _write(descriptor, view[done:])


def _write(descriptor: int, view: memoryview) -> None:
    done = 0
    while done < len(view):
        done += os.write(descriptor, view[done : done + _MOST])


def _set_direct(descriptor: int, wanted: bool) -> bool:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    flags = flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    except OSError:
        return False
    return True
