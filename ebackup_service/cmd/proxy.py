# SPDX-License-Identifier: Apache-2.0
"""ebackup-proxy: a backup proxy in a process of its own; no database."""

from collections.abc import Sequence
import contextlib

from oslo_config import cfg

from ebackup_service.cmd import program
from ebackup_service.cmd import transports
from ebackup_service.proxy import service


def start(conf: cfg.ConfigOpts, stack: contextlib.ExitStack) -> None:
    transport = transports.opened(conf, stack)
    proxy = service.ProxyService(conf, transport)
    proxy.start()
    stack.callback(proxy.stop)


def main(args: Sequence[str] | None = None) -> int:
    return program.run('ebackup-proxy', start, args)
