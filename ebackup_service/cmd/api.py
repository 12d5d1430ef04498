# SPDX-License-Identifier: Apache-2.0
"""ebackup-api: the REST API in a process of its own."""

from collections.abc import Sequence
import contextlib

from oslo_config import cfg

from ebackup_service.api import deploy
from ebackup_service.api import errors
from ebackup_service.api import http_server
from ebackup_service.api import waits
from ebackup_service.cmd import catalogs
from ebackup_service.cmd import program
from ebackup_service.cmd import transports
from ebackup_service.rpc import clients


def start(conf: cfg.ConfigOpts, stack: contextlib.ExitStack) -> None:
    catalog = catalogs.writable(conf, stack)
    transport = transports.opened(conf, stack)
    wake = clients.ServerClient(transport).wake
    connect = clients.ProxyClient(transport).connect
    waiting = waits.Waits(conf.api.threads)
    app = deploy.application(conf, catalog, wake, connect, waiting)
    server = http_server.HttpServer(conf, app, waiting.end)
    server.start()
    stack.callback(server.stop)


def main(args: Sequence[str] | None = None) -> int:
    expected = (*catalogs.EXPECTED, errors.Misconfigured)
    return program.run('ebackup-api', start, args, expected)
