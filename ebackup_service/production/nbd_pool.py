# SPDX-License-Identifier: Apache-2.0
"""The connections to one NBD export, for as many threads as there are."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import threading

from ebackup_service.production import nbd_connection
from ebackup_service.production import waits


class Pool:
    """Threads borrow connections; one at a time has each.

    ``_changed`` protects ``_free`` and ``_borrowed``; a connection that is
    being made counts as borrowed.

    :param connect: makes a connection
    :param first: one that is there already
    :param limit: of connections at the same time
    :param check: called while waiting for one; what it raises is passed on
    """

    def __init__(
        self,
        connect: Callable[[], nbd_connection.Connection],
        first: nbd_connection.Connection,
        limit: int,
        check: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._limit = limit
        self._check = check
        self._changed = threading.Condition()
        self._free = [first]
        self._borrowed = 0

    @contextlib.contextmanager
    def borrow(self) -> Iterator[nbd_connection.Connection]:
        """Whoever is interrupted while using it, loses it.

        :raises Lost: also by whoever borrows it: it is not used again
        :raises VolumeUnknown, AccessDenied: as Connection says
        """
        connection = self._take()
        kept: nbd_connection.Connection | None = None
        try:
            if connection is None:
                connection = self._connect()
            try:
                yield connection
            except nbd_connection.Refused:
                kept = connection
                raise
            kept = connection
        finally:
            if kept is None and connection is not None:
                connection.close()
            self._give(kept)

    @contextlib.contextmanager
    def filled(self) -> Iterator[list[nbd_connection.Connection]]:
        """All connections that there may be, the first one first.

        For one thread, before any other borrows one.
        """
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(self.borrow()) for _ in range(self._limit)
            ]

    def for_each(
        self, action: Callable[[nbd_connection.Connection], None]
    ) -> None:
        """Do something with all connections, which nobody may borrow then."""
        with self._changed:
            free = list(self._free)
        for connection in free:
            action(connection)

    def close(self) -> None:
        with self._changed:
            while self._free:
                self._free.pop().close()

    def _take(self) -> nbd_connection.Connection | None:
        """One that is free; or None: the caller may make one."""
        with self._changed:
            while not self._free and self._borrowed >= self._limit:
                self._check()
                self._changed.wait(waits.LOOK)
            self._borrowed += 1
            return self._free.pop() if self._free else None

    def _give(self, connection: nbd_connection.Connection | None) -> None:
        with self._changed:
            self._borrowed -= 1
            if connection is not None:
                self._free.append(connection)
            self._changed.notify()
