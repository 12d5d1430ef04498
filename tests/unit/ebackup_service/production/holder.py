# SPDX-License-Identifier: Apache-2.0
"""Plays the driver, which holds a volume."""

import fcntl
import os
import struct

import fixtures


class Holder(fixtures.Fixture):
    """Holds the file or device until let_go().

    Attribute: lock, the offset of the byte that is locked.
    """

    lock = (1 << 52) + 1

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def _setUp(self) -> None:
        self._file = open(self._path, 'rb')
        self.addCleanup(self._file.close)
        lock = struct.pack(
            'hhqqi4x', fcntl.F_RDLCK, os.SEEK_SET, self.lock, 1, 0
        )
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, lock)

    def let_go(self) -> None:
        self._file.close()
