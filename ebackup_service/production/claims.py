# SPDX-License-Identifier: Apache-2.0
"""Exclusive use of block devices, shared by the readers of this process.

The kernel grants O_EXCL on a block device to one holder, and to none while it
is mounted, or part of a volume group or RAID. Two backups of one volume may
run at once, so readers share one such descriptor; whoever writes has its own.

The table of claims belongs to all threads and is only touched with _lock held.
"""

from collections.abc import Callable
import os
import threading

_lock = threading.Lock()
_shared: dict[int, 'Shared'] = {}  # by device number


class Shared:
    """One reader's part in the claim; release() gives it back."""

    def __init__(self, device: int, descriptor: int) -> None:
        self._device = device
        self._descriptor = descriptor
        self._readers = 1

    def release(self) -> None:
        with _lock:
            self._readers -= 1
            if not self._readers:
                del _shared[self._device]
                os.close(self._descriptor)

    def _join(self) -> 'Shared':
        self._readers += 1
        return self


def share(device: int, open_exclusively: Callable[[], int]) -> Shared:
    """Claim a device for reading.

    :param device: its number (st_rdev)
    :param open_exclusively: returns a descriptor opened with O_EXCL; called
        if no reader of this process holds the device yet, and may raise
    """
    with _lock:
        claim = _shared.get(device)
        if claim is not None:
            return claim._join()
        claim = _shared[device] = Shared(device, open_exclusively())
        return claim
