# SPDX-License-Identifier: Apache-2.0
"""An NBD export that is read.

A server that goes away while it is read, and comes back, is waited for: what
is read doesn't change. Unless it is an instant, for which there is no outage:
the next one that the server shows is another. Any number of threads may read;
what they share is the pool.
"""

from collections.abc import Callable
from collections.abc import Iterator
import time
from typing import TypeVar

from oslo_log import log

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import memory
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_extents
from ebackup_service.production import nbd_pool

LOG = log.getLogger(__name__)

# Seconds between two attempts to reach a server again.
_PAUSE = 0.2

T = TypeVar('T')


class NbdSource:
    """See base.Source.

    :param name: for messages
    :param contexts: that the server has been found to have
    :param outage: seconds that a server is waited for
    :param gone: makes the error to raise when the export is no more
    :param confirm: see base.Source.confirm()
    :param release: called after closing, once; may raise
    """

    def __init__(
        self,
        pool: nbd_pool.Pool,
        name: str,
        size: int,
        contexts: nbd_extents.Contexts,
        outage: float,
        check: Callable[[], None],
        gone: Callable[[], errors.ProductionError],
        confirm: Callable[[], None],
        release: Callable[[], None] | None = None,
    ) -> None:
        self.size = size
        self.waits = True
        self.memory = memory.NOTHING
        self.gaps = (
            base.ExtentKind.HOLE
            if contexts.dirty is None
            else base.ExtentKind.UNCHANGED
        )
        self._pool = pool
        self._name = name
        self._contexts = contexts
        self._outage = outage
        self._check = check
        self._gone = gone
        self.confirm = confirm
        self._release = release

    def extents(self) -> Iterator[base.Extent]:
        def ask(offset: int, length: int) -> list[tuple[str, int, list[int]]]:
            return self._persist(
                lambda connection: connection.block_status(offset, length)
            )

        return nbd_extents.extents(ask, self._contexts, self.size)

    def expect(self, offset: int, length: int) -> None:
        pass  # A read is several requests, under way together, as it is.

    def read(self, offset: int, buffer: memoryview) -> memoryview:
        self._persist(lambda connection: fill(connection, offset, buffer))
        return buffer

    def close(self) -> None:
        self._pool.close()
        release, self._release = self._release, None
        if release is not None:
            release()

    def _persist(self, action: Callable[[nbd_connection.Connection], T]) -> T:
        """Do it, however often the connection is lost meanwhile."""
        end: float | None = None
        while True:
            try:
                with self._pool.borrow() as connection:
                    return action(connection)
            except nbd_connection.Refused as e:
                raise errors.SourceUnavailable(
                    f'{e} while reading {self._name}: check the storage '
                    'behind it, then try again'
                ) from e
            except (nbd_connection.Lost, errors.VolumeUnknown) as e:
                now = time.monotonic()
                if end is None:
                    if self._outage:
                        LOG.warning('%s is waited for: %s', self._name, e)
                    end = now + self._outage
                if now >= end:
                    raise self._lost(e) from e
            self._check()
            time.sleep(_PAUSE)

    def _lost(self, error: Exception) -> errors.ProductionError:
        if isinstance(error, errors.VolumeUnknown):
            return self._gone()
        return errors.SourceUnavailable(
            f'{error} while reading {self._name}: check its server and the '
            'network, then try again'
        )


def fill(
    connection: nbd_connection.Connection, offset: int, buffer: memoryview
) -> None:
    """Fill the buffer, whatever blocks the server wants."""
    start, end = widened(offset, len(buffer), connection.minimum)
    if (start, end) == (offset, offset + len(buffer)):
        connection.read(offset, buffer)
        return
    wide = memoryview(bytearray(end - start))
    connection.read(start, wide)
    buffer[:] = wide[offset - start : offset - start + len(buffer)]


def widened(offset: int, length: int, block: int) -> tuple[int, int]:
    """Start and end of the whole blocks that a range lies in."""
    return offset - offset % block, -(-(offset + length) // block) * block
