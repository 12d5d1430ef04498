# SPDX-License-Identifier: Apache-2.0
"""ebackup-server: the backup server in a process of its own."""

from collections.abc import Sequence
import contextlib

from oslo_config import cfg

from ebackup_service.cmd import catalogs
from ebackup_service.cmd import program
from ebackup_service.cmd import transports
from ebackup_service.server import enabled_storages
from ebackup_service.server import errors
from ebackup_service.server import service


def start(conf: cfg.ConfigOpts, stack: contextlib.ExitStack) -> None:
    catalog = catalogs.writable(conf, stack)
    with catalogs.explained(conf):
        enabled_storages.ensure(catalog, conf)
    transport = transports.opened(conf, stack)
    server = service.ServerService(conf, transport, catalog)
    server.start()
    stack.callback(server.stop)


def main(args: Sequence[str] | None = None) -> int:
    expected = (*catalogs.EXPECTED, errors.ServerError)
    return program.run('ebackup-server', start, args, expected)
