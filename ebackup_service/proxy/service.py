# SPDX-License-Identifier: Apache-2.0
"""The running proxy: takes jobs from the message bus, and says it is there.

It has no database; of a job it knows what came with it.
"""

import importlib.metadata
import threading
from typing import Any

from oslo_config import cfg
from oslo_log import log
import oslo_messaging

from ebackup_service.production import registry
from ebackup_service.proxy import connector
from ebackup_service.proxy import crew as proxy_crew
from ebackup_service.proxy import endpoint
from ebackup_service.rpc import clients
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import listeners
from ebackup_service.rpc import topics

LOG = log.getLogger(__name__)

_STOP_SECONDS = 5.0
_CONNECTOR = 'connector'


class ProxyService:
    """Threads: the listener's, one that announces, and two a running job.

    Another one makes ready what volumes are attached by, at the start.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, transport: oslo_messaging.Transport
    ) -> None:
        self._conf = conf
        self._server = clients.ServerClient(transport)
        # What is installed later counts after a restart.
        self._production = registry.usable()
        self._crew = proxy_crew.Crew(conf, self._server, self._production)
        self._listener = listeners.listen(
            transport,
            topics.PROXY,
            conf.proxy.host,
            endpoint.ProxyEndpoint(self._crew),
        )
        # By what Cinder knows this host; volumes are not attached before.
        self._connector: dict[str, Any] | None = None
        self._stopped = threading.Event()
        # One thread announces, so that no older announcement comes after a
        # newer one.
        self._news = threading.Event()
        self._announcer = threading.Thread(
            target=self._announce_until_stopped,
            name='proxy-announce',
            daemon=True,
        )

    def start(self) -> None:
        self._listener.start()
        self._announcer.start()
        if connector.is_wanted(self._conf):
            threading.Thread(
                target=self._make_ready, name='proxy-connector', daemon=True
            ).start()
        LOG.info('Proxy %s started', self._conf.proxy.host)

    def stop(self) -> None:
        """Finish what ends within ``shutdown_timeout``, stop the rest.

        Returns within that time and some seconds; may be called again.
        """
        if self._stopped.is_set():
            return
        self._crew.close()
        self._news.set()
        self._crew.finish(self._conf.proxy.shutdown_timeout)
        self._stopped.set()
        self._news.set()
        self._announcer.join(_STOP_SECONDS)
        listeners.close(self._listener, _STOP_SECONDS)
        LOG.info('Proxy %s stopped', self._conf.proxy.host)

    def _announce_until_stopped(self) -> None:
        last = False
        while not last:
            self._news.clear()
            last = self._stopped.is_set()
            self._announce()
            if not last:
                self._news.wait(self._conf.proxy.announce_interval)

    def _make_ready(self) -> None:
        self._connector = connector.ready(self._conf)
        self._news.set()

    def _announce(self) -> None:
        known = self._connector
        capabilities: dict[str, Any] = {
            'max_jobs': self._crew.max_jobs,
            'production': [
                kind
                for kind in self._production
                if kind != _CONNECTOR or known is not None
            ],
            'messages': topics.VERSION,
            'stopping': self._crew.stopping,
        }
        if known is not None:
            capabilities['connector'] = known
        try:
            self._server.announce(
                self._conf.proxy.host, _version(), capabilities
            )
        except rpc_errors.PeerUnreachable as error:
            LOG.warning('Proxy not announced: %s', error)


def _version() -> str:
    try:
        return importlib.metadata.version('cinder-ebackup')
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'
