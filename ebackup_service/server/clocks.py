# SPDX-License-Identifier: Apache-2.0
"""What a server does about a database's clock that was set.

Set back, what was noted by the old time lies in the future: the lease of a
lost proxy, or the beat of a lost driver, would last for all that time. It is
brought back: a beat at once, since none is ever meant to be ahead.

Set forward, all leases and beats are over at once, though proxies work on and
drivers are there. Nobody is given up then until they are over by this host's
monotonic clock, too; and at no time by a later instant than the last that was
compared with it. Who has only begun to look can't know, and waits as well.
"""

from collections.abc import Callable
import time

from oslo_config import cfg
from oslo_log import log

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import future
from ebackup_service.server import refusals

LOG = log.getLogger(__name__)

# Seconds beyond a lease that nothing is ever noted ahead, but for the next
# login to a storage; what else is meant to come last, another collection after
# one that failed, comes in a minute.
_AHEAD = 120.0
# Seconds that the database's clock may gain between two looks.
_GAIN = 1.0


@database.retried
def bring_back(catalog: database.Catalog, conf: cfg.ConfigOpts) -> None:
    """Let nothing be due later than it can be meant to be."""
    limit = clock.milliseconds(conf.server.lease + _AHEAD)
    far = clock.milliseconds(refusals.longest(conf))
    with catalog.reader() as session:
        if not future.beyond(session, limit, far):
            return
    with catalog.writer() as session:
        LOG.warning(
            "The database's clock was set back: leases, beats and delays "
            'that would last too long are shortened.'
        )
        future.bring_back(session, limit, far)


class Watch:
    """Compares the database's clock with the monotonic one of this host.

    For one thread.

    :param patience: seconds for which nobody is given up after a leap
    """

    def __init__(
        self, patience: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience
        self._monotonic = monotonic
        # When it answered first.
        self._began: float | None = None
        # When the database was asked, at the earliest, and what it said.
        self._last: tuple[float, int] | None = None
        self._until = 0.0

    @property
    def looked(self) -> float:
        """Seconds for which a leap would have been seen."""
        if self._began is None:
            return 0.0
        return self._monotonic() - self._began

    def look(self, catalog: database.Catalog) -> int | None:
        """To be called often: a leap is seen from one call to the next.

        Returns what the database's clock shows, in milliseconds. What is over
        by then is over; None: it may not be, the clock was set forward.
        """
        before = self._monotonic()
        with catalog.reader() as session:
            now = clock.read(session)
        after = self._monotonic()
        if self._began is None:
            self._began = after
        if self._last is not None:
            asked, then = self._last
            gained = (now - then) / 1000 - (after - asked)
            if gained > _GAIN:
                LOG.warning(
                    "The database's clock was set forward by %.1f s: nobody "
                    'is given up for %.0f s.',
                    gained,
                    self._patience,
                )
                self._until = after + self._patience
        self._last = before, now
        return now if after >= self._until else None
