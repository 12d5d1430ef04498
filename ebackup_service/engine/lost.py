# SPDX-License-Identifier: Apache-2.0
"""What of an image a restore could not read."""

import threading

from ebackup_service.repository import errors
from ebackup_service.repository import extents


class Lost:
    """For any number of threads: ``_lock`` protects what was added.

    :ivar extents: ranges of the volume; for others when the restore is over
    :ivar error: what was wrong first
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.extents = extents.Extents()
        self.error: errors.Corrupt | None = None

    def add(self, offset: int, length: int, error: errors.Corrupt) -> None:
        with self._lock:
            self.extents.add(offset, length)
            if self.error is None:
                self.error = error
