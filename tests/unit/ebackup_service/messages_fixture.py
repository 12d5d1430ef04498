# SPDX-License-Identifier: Apache-2.0
"""A message bus in memory, and ears on it."""

from collections.abc import Callable
import math
import queue
from typing import Any

import fixtures
import oslo_messaging
from oslo_messaging._drivers import impl_fake

from ebackup_service.rpc import clients
from ebackup_service.rpc import listeners
from ebackup_service.rpc import topics


class _ProxyEar:
    """Puts what a proxy is told into a queue."""

    target = listeners.VERSION

    def __init__(self, heard: queue.Queue[Any]) -> None:
        self._heard = heard

    def run_job(self, context: Any, **arguments: Any) -> None:
        self._heard.put(('run_job', arguments))

    def cancel_job(self, context: Any, **arguments: Any) -> None:
        self._heard.put(('cancel_job', arguments))


class Bus(fixtures.Fixture):
    """``fake://``, on the exchange that ``conf`` names."""

    def __init__(self, conf: Any) -> None:
        super().__init__()
        self._conf = conf

    def _setUp(self) -> None:
        self.transport = oslo_messaging.get_rpc_transport(
            self._conf, url='fake://'
        )
        self.addCleanup(self.transport.cleanup)

    def hear_as_proxy(self, host: str) -> queue.Queue[Any]:
        heard: queue.Queue[Any] = queue.Queue()
        self.listen(topics.PROXY, host, _ProxyEar(heard))
        return heard

    def listen(self, topic: str, host: str, endpoint: object) -> None:
        listener = listeners.listen(self.transport, topic, host, endpoint)
        listener.start()
        self.addCleanup(listeners.close, listener, 5.0)

    def proxy_client(self) -> clients.ProxyClient:
        return clients.ProxyClient(self.transport)

    def server_client(self) -> clients.ServerClient:
        return clients.ServerClient(self.transport)

    def break_down(self, error: Exception | None = None) -> None:
        """Nothing can be sent any more, as when a broker is away."""
        self.useFixture(Outage(lambda method: True, error=error))

    def break_down_for(self, method: str, times: int) -> 'Outage':
        """The next so many messages of one method get lost."""
        outage: Outage = self.useFixture(
            Outage(lambda sent: sent == method, times)
        )
        return outage


class Outage(fixtures.Fixture):
    """Makes the bus refuse messages; ``left``: how many it still will."""

    def __init__(
        self,
        wanted: Callable[[str], bool],
        times: float = math.inf,
        error: Exception | None = None,
    ) -> None:
        super().__init__()
        self._wanted = wanted
        self._error = error or oslo_messaging.MessageDeliveryFailure(
            'broker is away'
        )
        self.left = times

    def _setUp(self) -> None:
        send = impl_fake.FakeDriver.send

        def refuse(
            driver: Any, target: Any, context: Any, message: Any, **kw: Any
        ) -> Any:
            if self.left and self._wanted(message['method']):
                self.left -= 1
                raise self._error
            return send(driver, target, context, message, **kw)

        self.useFixture(
            fixtures.MonkeyPatch(
                'oslo_messaging._drivers.impl_fake.FakeDriver.send', refuse
            )
        )
