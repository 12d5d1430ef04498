# SPDX-License-Identifier: Apache-2.0
"""The running server: answers messages and, tick by tick, does what is due.

Everything that it knows is in the catalog. It may be killed at any instant,
and several of them may run on one catalog.
"""

from collections.abc import Callable
import threading
from typing import TypeVar

from oslo_config import cfg
from oslo_log import log
import oslo_messaging

from ebackup_service.rpc import clients
from ebackup_service.rpc import listeners
from ebackup_service.rpc import topics
from ebackup_service.server.catalog import database
from ebackup_service.server import clocks
from ebackup_service.server import collection
from ebackup_service.server import deletions
from ebackup_service.server import dispatch
from ebackup_service.server import endpoint
from ebackup_service.server import history
from ebackup_service.server import leases
from ebackup_service.server import snapshots
from ebackup_service.server import verification

LOG = log.getLogger(__name__)

_Result = TypeVar('_Result')

_STOP_SECONDS = 5.0


class ServerService:
    """Threads: the listener's, which answer, and one that ticks.

    ``wake`` may be called from any thread, also before ``start``.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        transport: oslo_messaging.Transport,
        catalog: database.Catalog,
    ) -> None:
        self._conf = conf
        self._catalog = catalog
        self._clock = clocks.Watch(conf.server.lease + leases.MARGIN)
        self._proxies = clients.ProxyClient(transport)
        self._listener = listeners.listen(
            transport,
            topics.SERVER,
            conf.server.host,
            endpoint.ServerEndpoint(conf, catalog, self.wake),
        )
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._ticker = threading.Thread(
            target=self._tick_until_stopped, name='server-tick', daemon=True
        )

    def listen(self) -> None:
        """Answer proxies; hand nothing out yet."""
        self._listener.start()

    def start(self) -> None:
        self.listen()
        self._ticker.start()
        LOG.info('Server %s started', self._conf.server.host)

    def wake(self) -> None:
        """Look at once for what is due."""
        self._due.set()

    def stop(self) -> None:
        """Hand out nothing more; returns within some seconds.

        May be called again. Running jobs go on at their proxies for as long
        as their leases last; the next server to start, or another one, sees
        to them.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._due.set()
        if self._ticker.is_alive():
            self._ticker.join(_STOP_SECONDS)
        listeners.close(self._listener, _STOP_SECONDS)
        LOG.info('Server %s stopped', self._conf.server.host)

    def _tick_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._due.clear()
            self.tick()
            self._due.wait(self._conf.server.tick)

    def tick(self) -> None:
        """Do all that is due; what fails is tried again the next time."""
        self._try(clocks.bring_back, self._catalog, self._conf)
        now = self._try(self._clock.look, self._catalog)
        if now is not None:
            # First, since a driver, or a command, waits for what waits here.
            # What is found to be due below is later than now; the room of a
            # proxy that is lost is there for the next tick.
            self._try(
                dispatch.dispatch,
                self._catalog,
                self._conf,
                self._proxies,
                now,
                self._clock.looked,
            )
            self._try(
                leases.expire,
                self._catalog,
                self._conf,
                now,
                self._clock.looked,
            )
        self._try(deletions.resume, self._catalog)
        self._try(collection.schedule, self._catalog, self._conf)
        self._try(verification.schedule, self._catalog, self._conf)
        self._try(snapshots.schedule, self._catalog, self._conf)
        self._try(history.forget, self._catalog, self._conf)

    def _try(
        self, step: Callable[..., _Result], *arguments: object
    ) -> _Result | None:
        if self._stopping.is_set():
            return None
        try:
            return step(*arguments)
        except Exception:
            # the database may be away for a while; nothing is half done
            LOG.exception('%s failed', step.__name__)
            return None
