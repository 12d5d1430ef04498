# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's driver ``ebackup-local``: from thread to thread.

For ebackup-all, of which all parts are in one process. oslo.messaging's own
``fake`` is meant for tests: whoever listens looks twenty times a second, so
that a job, which takes a handful of messages one after the other, takes a
tenth of a second more, or several. Here a message is with its receiver at
once.

What is sent becomes JSON and is read again, as on any other bus: nobody shares
an object with who he speaks to.
"""

from collections.abc import Callable
import json
import queue
import threading
from typing import Any

import oslo_messaging
from oslo_messaging._drivers import base

# Of a transport with this driver.
URL = 'ebackup-local://'

# What the call returned, and what it raised: one of them is None.
Reply = tuple[Any, BaseException | None]


class LocalDriver(base.BaseDriver):  # type: ignore[misc]
    """Whoever shall hear each other has the same transport.

    ``_lock`` protects ``_listeners``, and whose turn it is of several.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = threading.Lock()
        self._listeners: list[_Listener] = []

    def send(
        self,
        target: oslo_messaging.Target,
        ctxt: dict[str, Any],
        message: dict[str, Any],
        wait_for_reply: bool | None = None,
        timeout: float | None = None,
        *_args: Any,
        **_kwargs: Any,
    ) -> Any:
        """See oslo.messaging's guide for implementors of drivers.

        :param timeout: seconds to wait for the reply
        :raises MessageDeliveryFailure: nobody listens
        :raises MessagingTimeout: there is no reply in time
        """
        text = json.dumps([ctxt, message])
        replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        for listener in self._receivers(target):
            heard = json.loads(text)
            listener.hear(_Incoming(heard[0], heard[1], replies))
        if not wait_for_reply:
            return None
        try:
            reply, failure = replies.get(timeout=timeout)
        except queue.Empty:
            raise oslo_messaging.MessagingTimeout(
                f'no reply on topic {target.topic} within {timeout} s'
            ) from None
        try:
            if failure is not None:
                raise failure
            return reply
        finally:
            # It knows this frame.
            del failure

    def send_notification(self, *_args: Any, **_kwargs: Any) -> None:
        raise NotImplementedError('ebackup-local has no notifications')

    def listen(
        self,
        target: oslo_messaging.Target,
        batch_size: int,
        batch_timeout: float | None,
    ) -> '_Listener':
        return _Listener(self, target, batch_size, batch_timeout)

    def listen_for_notifications(self, *_args: Any, **_kwargs: Any) -> None:
        raise NotImplementedError('ebackup-local has no notifications')

    def cleanup(self) -> None:
        with self._lock:
            self._listeners.clear()

    def begin(self, listener: '_Listener') -> None:
        with self._lock:
            self._listeners.append(listener)

    def end(self, listener: '_Listener') -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _receivers(self, target: oslo_messaging.Target) -> list['_Listener']:
        """All that listen to the topic, or the one whose turn it is."""
        with self._lock:
            found = [one for one in self._listeners if one.is_meant(target)]
            if not found:
                raise oslo_messaging.MessageDeliveryFailure(
                    f'nobody listens to topic {target.topic}, '
                    f'server {target.server or "any"}'
                )
            if target.fanout:
                return found
            self._listeners.remove(found[0])
            self._listeners.append(found[0])
            return found[:1]


class _Listener(base.Listener):  # type: ignore[misc]
    """Hands over what it hears in the thread of who says it.

    That only puts it into the queue of a pool of threads.
    """

    def __init__(
        self,
        driver: LocalDriver,
        target: oslo_messaging.Target,
        batch_size: int,
        batch_timeout: float | None,
    ) -> None:
        super().__init__(batch_size, batch_timeout)
        self._driver = driver
        self._target = target

    def is_meant(self, target: oslo_messaging.Target) -> bool:
        return target.topic == self._target.topic and (
            target.fanout or target.server in (None, self._target.server)
        )

    def start(self, on_incoming_callback: Callable[..., object]) -> None:
        super().start(on_incoming_callback)
        self._driver.begin(self)

    def hear(self, incoming: '_Incoming') -> None:
        callback = self.on_incoming_callback
        if callback is None:
            raise oslo_messaging.MessageDeliveryFailure(
                f'{self._target.topic} does not listen any more'
            )
        callback([incoming])

    def stop(self) -> None:
        self._driver.end(self)
        super().stop()

    def cleanup(self) -> None:
        """Nothing is left after stop()."""


class _Incoming(base.RpcIncomingMessage):  # type: ignore[misc]
    """A message, and where its reply goes, if anybody waits for that."""

    def __init__(
        self,
        ctxt: dict[str, Any],
        message: dict[str, Any],
        replies: queue.SimpleQueue[Reply],
    ) -> None:
        super().__init__(ctxt, message)
        self._replies = replies

    def reply(self, reply: Any = None, failure: Any = None) -> None:
        """:param failure: type, exception and traceback of what was raised"""
        plain = json.loads(json.dumps(reply))
        self._replies.put((plain, failure[1] if failure else None))

    def requeue(self) -> None:
        """Not asked for: see BaseDriver.require_features."""

    def heartbeat(self) -> None:
        """Whoever waits has one timeout for all."""
