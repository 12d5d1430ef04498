# SPDX-License-Identifier: Apache-2.0
"""Lets oslo.messaging work with options that are not the global ones."""

import importlib

import oslo_messaging

# option group, and the list of its options -> module that has the list
_GROUPS = {
    'oslo_messaging_metrics': 'oslo_messaging._metrics.client',
    'oslo_messaging_tracing': 'oslo_messaging._tracing.client',
}


def prepare(transport: oslo_messaging.Transport) -> oslo_messaging.Transport:
    """Register what oslo.messaging registers in the global options only.

    Its clients and servers read these options from the transport's own (as of
    18.3). Versions without them need nothing.
    """
    for group, name in _GROUPS.items():
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        options = getattr(module, group, [])
        transport.conf.register_opts(options, group=group)
    return transport
