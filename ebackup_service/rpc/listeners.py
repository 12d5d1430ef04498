# SPDX-License-Identifier: Apache-2.0
"""Makes one side's methods callable by the other."""

from collections.abc import Callable
import functools
import threading
from typing import Any
from typing import TypeVar

from oslo_log import log
import oslo_messaging

from ebackup_service.rpc import bus
from ebackup_service.rpc import errors
from ebackup_service.rpc import topics

LOG = log.getLogger(__name__)

_Method = TypeVar('_Method', bound=Callable[..., Any])

VERSION = oslo_messaging.Target(version=topics.VERSION)


def listen(
    transport: oslo_messaging.Transport,
    topic: str,
    host: str,
    endpoint: object,
) -> oslo_messaging.MessageHandlingServer:
    """A server, not started, for the public methods of ``endpoint``."""
    return oslo_messaging.get_rpc_server(
        bus.prepare(transport),
        oslo_messaging.Target(topic=topic, server=host),
        [endpoint],
        executor='threading',
        access_policy=oslo_messaging.DefaultRPCAccessPolicy,
    )


def close(
    server: oslo_messaging.MessageHandlingServer, seconds: float
) -> None:
    """Stop listening; waits at most ``seconds`` for calls being answered."""
    server.stop()
    # wait() itself knows no bound for calls that are being answered
    waiter = threading.Thread(
        target=server.wait, name='rpc-close', daemon=True
    )
    waiter.start()
    waiter.join(seconds)
    if waiter.is_alive():
        LOG.warning('Calls were still being answered after %s s', seconds)


def answered(method: _Method) -> _Method:
    """Log what a method did not expect, and give the caller no details.

    Without this the caller of an in-process transport would get the very
    exception, and that of a real one something else.
    """

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            LOG.exception('Failed to answer %s', method.__name__)
            raise errors.PeerFailed(
                f'{method.__name__} failed: {type(error).__name__}'
            ) from None

    return wrapped  # type: ignore[return-value]
