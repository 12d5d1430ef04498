# SPDX-License-Identifier: Apache-2.0
"""ebackup-all: server, proxy and API as threads of one process.

They speak over ``ebackup-local://``, which stays inside the process.
The catalog's tables, and the repository that the configuration names, are
made at the first start.
"""

from collections.abc import Sequence
import contextlib
import os

from oslo_config import cfg

from ebackup_service.api import deploy
from ebackup_service.api import errors
from ebackup_service.api import http_server
from ebackup_service.api import waits
from ebackup_service.cmd import catalogs
from ebackup_service.cmd import program
from ebackup_service.cmd import transports
from ebackup_service.proxy import service as proxy_service
from ebackup_service.rpc import clients
from ebackup_service.rpc import local
from ebackup_service.server import enabled_storages
from ebackup_service.server import errors as server_errors
from ebackup_service.server import repositories
from ebackup_service.server import service as server_service


def start(conf: cfg.ConfigOpts, stack: contextlib.ExitStack) -> None:
    """Start what others need first; so it stops last."""
    os.makedirs(conf.state_path, mode=0o750, exist_ok=True)
    catalog = catalogs.writable(conf, stack, make=True)
    with catalogs.explained(conf):
        repositories.ensure_default(catalog, conf)
        enabled_storages.ensure(catalog, conf)
    transport = transports.opened(conf, stack, local.URL)
    server = server_service.ServerService(conf, transport, catalog)
    connect = clients.ProxyClient(transport).connect
    waiting = waits.Waits(conf.api.threads)
    app = deploy.application(conf, catalog, server.wake, connect, waiting)
    http = http_server.HttpServer(conf, app, waiting.end)
    proxy = proxy_service.ProxyService(conf, transport)
    # A proxy announces itself, and hears of its jobs, at once; one that
    # finishes its jobs needs the others: the driver beats for them through
    # the API.
    server.listen()
    stack.callback(server.stop)
    for service in (http, proxy):
        service.start()
        stack.callback(service.stop)
    server.start()


def main(args: Sequence[str] | None = None) -> int:
    expected = (
        *catalogs.EXPECTED,
        errors.Misconfigured,
        server_errors.ServerError,
    )
    return program.run('ebackup-all', start, args, expected)
