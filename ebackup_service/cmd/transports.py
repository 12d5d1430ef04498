# SPDX-License-Identifier: Apache-2.0
"""Opens the message bus for a program."""

import contextlib

from oslo_config import cfg
import oslo_messaging

from ebackup_service.rpc import bus


def opened(
    conf: cfg.ConfigOpts,
    stack: contextlib.ExitStack,
    url: str | None = None,
) -> oslo_messaging.Transport:
    """Return the bus that is configured, or that of ``url``.

    It is closed with the stack.
    """
    transport = oslo_messaging.get_rpc_transport(conf, url)
    stack.callback(transport.cleanup)
    return bus.prepare(transport)
