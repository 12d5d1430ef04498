# SPDX-License-Identifier: Apache-2.0
"""An NBD export that is written.

A server that went away may have lost what it had been given to write and did
not flush. So a target that has lost one of its connections is of no use any
more, though the server is back.
"""

from collections.abc import Callable
import threading

from ebackup_service.production import errors
from ebackup_service.production import memory
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_pool
from ebackup_service.production import nbd_source


class NbdTarget:
    """See base.Target.

    :param release: called after closing, once

    Threads share the pool, and ``_lost``, which is only ever set. ``_edges``
    is held by who writes a part of a block, since it writes the rest of the
    block as well.
    """

    memory = memory.NOTHING

    def __init__(
        self,
        pool: nbd_pool.Pool,
        name: str,
        size: int,
        truncated: bool,
        alignment: int,
        release: Callable[[], None] | None = None,
    ) -> None:
        self.size = size
        self.truncated = truncated
        self.alignment = alignment
        self._pool = pool
        self._name = name
        self._release = release
        self._lost: str | None = None
        self._edges = threading.Lock()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._use(
            lambda connection: nbd_source.fill(connection, offset, buffer),
            'reading',
        )

    def write(self, offset: int, buffer: memoryview) -> None:
        self._check_range(offset, len(buffer))
        if offset % self.alignment or len(buffer) % self.alignment:
            with self._edges:
                self._use(
                    lambda connection: _patch(connection, offset, buffer)
                )
        else:
            self._use(lambda connection: connection.write(offset, buffer))

    def zero(self, offset: int, length: int) -> None:
        self._check_range(offset, length)
        start = -(-offset // self.alignment) * self.alignment
        end = offset + length
        stop = end - end % self.alignment
        if start >= stop:
            self.write(offset, memoryview(bytes(length)))
            return
        self.write(offset, memoryview(bytes(start - offset)))
        self._use(lambda connection: connection.zero(start, stop - start))
        self.write(stop, memoryview(bytes(end - stop)))

    def flush(self) -> None:
        self._guard(
            lambda: self._pool.for_each(lambda connection: connection.flush()),
            'writing',
        )

    def close(self) -> None:
        self._pool.close()
        release, self._release = self._release, None
        if release is not None:
            release()

    def _use(
        self,
        action: Callable[[nbd_connection.Connection], None],
        doing: str = 'writing',
    ) -> None:
        def borrow_and_act() -> None:
            with self._pool.borrow() as connection:
                action(connection)

        self._guard(borrow_and_act, doing)

    def _guard(self, action: Callable[[], None], doing: str) -> None:
        if self._lost is not None:
            raise self._unavailable(self._lost, doing)
        try:
            action()
        except nbd_connection.Refused as e:
            raise self._unavailable(str(e), doing) from e
        except BaseException as e:
            self._lost = str(e)
            if isinstance(e, nbd_connection.Lost):
                raise self._unavailable(str(e), doing) from e
            raise

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size:
            raise ValueError(
                f'{length} bytes at {offset} are not inside the '
                f'{self.size} bytes of {self._name}'
            )

    def _unavailable(self, why: str, doing: str) -> errors.TargetUnavailable:
        return errors.TargetUnavailable(
            f'{why} while {doing} {self._name}: check its server and the '
            'storage behind it, then restore again'
        )


def _patch(
    connection: nbd_connection.Connection, offset: int, buffer: memoryview
) -> None:
    """Write a range that doesn't begin and end with a block."""
    start, end = nbd_source.widened(offset, len(buffer), connection.minimum)
    wide = memoryview(bytearray(end - start))
    connection.read(start, wide)
    wide[offset - start : offset - start + len(buffer)] = buffer
    connection.write(start, wide)
