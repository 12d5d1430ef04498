# SPDX-License-Identifier: Apache-2.0
"""The chunks that a backup has stored last, so that each is stored once.

Fill patterns, and files that are there several times. All workers share them:
one that another has in its open pack is durable when all have flushed theirs.
At the end of a stage they have flushed what they stored in it, not what they
store in the next one already: that is nothing that the stage may refer to.
"""

import threading

from ebackup_service.repository import location

# At least so many chunks: some hundred bytes each, twice as many at most.
COUNT = 4096


class RecentChunks:
    """For any number of threads.

    ``_lock`` is held to make ``_young`` the ``_old`` one; single operations of
    dictionaries are atomic. A chunk that two workers meet at once, or that is
    looked for while its dictionary moves, is stored twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._young: dict[bytes, tuple[int, location.Locator]] = {}
        self._old: dict[bytes, tuple[int, location.Locator]] = {}

    def get(self, chunk_id: bytes, stage: int) -> location.Locator | None:
        """Where a chunk is that was stored until a stage of this number.

        :returns: None: none is remembered
        """
        found = self._young.get(chunk_id) or self._old.get(chunk_id)
        if found is None or found[0] > stage:
            return None
        return found[1]

    def add(self, where: location.Locator, stage: int) -> None:
        """Remember where a chunk is that was not; stage: who stored it."""
        young = self._young
        young[where.id] = stage, where
        if len(young) >= COUNT:
            with self._lock:
                if self._young is young:
                    self._old, self._young = young, {}
