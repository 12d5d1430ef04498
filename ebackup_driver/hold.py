# SPDX-License-Identifier: Apache-2.0
"""Shows the proxy, which is on this host, that this process is alive.

When a process of cinder-backup starts, Cinder gives the volumes free that the
one before was busy with, and it may start half a second after that one was
killed: no heartbeat is as quick. So the file that Cinder opened the volume as
carries a lock. The kernel takes it away when the process ends, however it
ends, and the proxy looks for it before each piece of input and output.

The lock is on one byte that means nothing, another one for each operation, so
that it gets into nobody's way and can't be taken for that of another.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import random
import struct
from typing import Any

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

# Beyond the end of any volume, and exact in every reader of JSON.
_FIRST, _LAST = 1 << 52, (1 << 53) - 1
# struct flock: type, whence, start, length, process id
_LOCK = struct.Struct('hhqqi4x')


@contextlib.contextmanager
def held(volume_file: Any) -> Iterator[int | None]:
    """Lock the volume for as long as the context lasts.

    Gives the offset of the lock's byte; None where there can't be one, and
    only the heartbeat tells that this process has ended.
    """
    offset = random.randint(_FIRST, _LAST)
    try:
        descriptor = volume_file.fileno()
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        read_only = mode == os.O_RDONLY
        # Of an open file, not of a process: nothing but its closing ends it.
        _set(descriptor, fcntl.F_RDLCK if read_only else fcntl.F_WRLCK, offset)
    except (AttributeError, OSError) as error:
        LOG.warning(
            'Volume %(path)s can not be locked: %(error)s. Should '
            'cinder-backup end, the proxy goes on until [server] '
            'heartbeat_timeout is over; the installation guide, "When '
            'cinder-backup ends in the middle", says what to do',
            {'path': getattr(volume_file, 'name', None), 'error': error},
        )
        yield None
        return
    try:
        yield offset
    finally:
        with contextlib.suppress(OSError):
            _set(descriptor, fcntl.F_UNLCK, offset)


def _set(descriptor: int, kind: int, offset: int) -> None:
    lock = _LOCK.pack(kind, os.SEEK_SET, offset, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
