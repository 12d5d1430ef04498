# SPDX-License-Identifier: Apache-2.0
"""Whether a job may still touch a volume: by itself, and by the driver's lock.

The driver locks one byte of the file that Cinder opened the volume as. The
kernel takes the lock away when that file is closed, or when the process ends
that has it open; Cinder may then give the volume to others.
"""

from collections.abc import Callable
import fcntl
import os
import struct

from ebackup_service.production import base
from ebackup_service.production import errors

# struct flock: type, whence, start, length, process id
_LOCK = struct.Struct('hhqqi4x')


class Hold:
    """What there is to look at.

    :param name: of the volume's device or file, for messages
    :param offset: of the byte that is locked; None if the driver could not
        lock it, and check() knows nothing of it
    :param check: raises when the job has to stop
    """

    def __init__(
        self,
        name: str,
        offset: int | None,
        check: Callable[[], None] = base.no_check,
    ) -> None:
        self._name = name
        self._check_job = check
        self._asked = (
            None
            if offset is None
            else _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        )

    def check(self, descriptor: int) -> None:
        """Right before every piece of input, and every call that writes.

        :param descriptor: of the device or file, however it was opened
        :raises: DriverLost, OSError, and what the job's check raises
        """
        self._check_job()
        if self._asked is None:
            return
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, self._asked)
        if _LOCK.unpack(found)[0] == fcntl.F_UNLCK:
            raise errors.DriverLost(
                f'cinder-backup no longer holds {self._name}: its process or '
                'its operation has ended, so the volume is left alone'
            )


UNKNOWN = Hold('', None)
