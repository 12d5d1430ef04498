# SPDX-License-Identifier: Apache-2.0
"""What reading or writing a volume takes besides the caller's buffers."""

from typing import NamedTuple


class Memory(NamedTuple):
    """Bytes, at most.

    job: for one source or target that is open
    worker: for each thread that reads it at a time
    """

    job: int = 0
    worker: int = 0


NOTHING = Memory()
