# SPDX-License-Identifier: Apache-2.0
"""A message bus in memory, and ears on it."""

from collections.abc import Callable
import contextlib
import copy
import math
import queue
import random
import threading
from typing import Any

import fixtures
import oslo_messaging

from ebackup_service.rpc import clients
from ebackup_service.rpc import listeners
from ebackup_service.rpc import local
from ebackup_service.rpc import topics


class _ProxyEar:
    """Puts what a proxy is told into a queue."""

    def __init__(self, heard: queue.Queue[Any], version: str) -> None:
        self._heard = heard
        self.target = oslo_messaging.Target(version=version)

    def run_job(self, context: Any, **arguments: Any) -> None:
        self._heard.put(('run_job', arguments))

    def cancel_job(self, context: Any, **arguments: Any) -> None:
        self._heard.put(('cancel_job', arguments))

    def connect(self, context: Any, **arguments: Any) -> dict[str, Any]:
        self._heard.put(('connect', arguments))
        return {'accepted': True, 'reason': ''}


class Bus(fixtures.Fixture):
    """``ebackup-local://``, with the options of ``conf``."""

    def __init__(self, conf: Any) -> None:
        super().__init__()
        self._conf = conf

    def _setUp(self) -> None:
        self.transport = oslo_messaging.get_rpc_transport(
            self._conf, url=local.URL
        )
        self.addCleanup(self.transport.cleanup)

    def hear_as_proxy(
        self, host: str, version: str = topics.VERSION
    ) -> queue.Queue[Any]:
        heard: queue.Queue[Any] = queue.Queue()
        self.listen(topics.PROXY, host, _ProxyEar(heard, version))
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
        send = local.LocalDriver.send

        def refuse(
            driver: Any, target: Any, context: Any, message: Any, **kw: Any
        ) -> Any:
            if self.left and self._wanted(message['method']):
                self.left -= 1
                raise self._error
            return send(driver, target, context, message, **kw)

        self.useFixture(
            fixtures.MonkeyPatch(
                'ebackup_service.rpc.local.LocalDriver.send', refuse
            )
        )


class Mischief(fixtures.Fixture):
    """Does to messages what a bus may do to them.

    Some get lost, or their answer does; some arrive twice, some late, after
    those that were sent behind them, when nobody waits for an answer any more.

    :param seed: of the random numbers that choose
    :param share: of the messages to which something happens
    """

    FATES = ('lost', 'unanswered', 'doubled', 'late')
    LATEST = 1.0  # seconds

    def __init__(self, seed: int, share: float) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._share = share
        # Protects what follows, and the random numbers.
        self._lock = threading.Lock()
        self._late: list[threading.Timer] = []
        self._over = False

    def _setUp(self) -> None:
        send = local.LocalDriver.send

        def meddle(
            driver: Any, target: Any, context: Any, message: Any, **kw: Any
        ) -> Any:
            def deliver() -> Any:
                copied = copy.deepcopy(message)
                return send(driver, target, context, copied, **kw)

            fate, delay = self._choose()
            if fate == 'doubled':
                deliver()
            if fate in ('fine', 'doubled'):
                return deliver()
            if fate == 'unanswered':
                deliver()
            elif fate == 'late':
                self._deliver_late(delay, deliver)
            if kw.get('wait_for_reply'):
                raise oslo_messaging.MessagingTimeout(f'{fate} on purpose')
            return None

        self.addCleanup(self._end)
        self.useFixture(
            fixtures.MonkeyPatch(
                'ebackup_service.rpc.local.LocalDriver.send', meddle
            )
        )

    def _choose(self) -> tuple[str, float]:
        with self._lock:
            delay = self._random.uniform(0, self.LATEST)
            if self._random.random() >= self._share:
                return 'fine', delay
            return self._random.choice(self.FATES), delay

    def _deliver_late(self, delay: float, deliver: Callable[[], Any]) -> None:
        def attempt() -> None:
            # Whoever it was for may have gone by then.
            with contextlib.suppress(Exception):
                deliver()

        timer = threading.Timer(delay, attempt)
        with self._lock:
            if not self._over:
                self._late.append(timer)
                timer.start()

    def _end(self) -> None:
        with self._lock:
            self._over = True
        for timer in self._late:
            timer.cancel()
            timer.join(20)
