# SPDX-License-Identifier: Apache-2.0
"""The REST API for a WSGI server: ``ebackup_service.wsgi:application``.

The configuration is the file that the environment variable
``EBACKUP_CONFIG_FILE`` names, else those that ``ebackup-api`` would read.
"""

import contextlib
import os
from typing import Any

from oslo_log import log

from ebackup_service.api import deploy
from ebackup_service.cmd import catalogs
from ebackup_service.cmd import transports
from ebackup_service import conf as service_conf
from ebackup_service.rpc import clients


def _application() -> Any:
    path = os.environ.get('EBACKUP_CONFIG_FILE')
    # A WSGI server's command line is not ours.
    args = ['--config-file', path] if path else []
    conf = service_conf.load('ebackup-api', args)
    log.setup(conf, service_conf.PROJECT)
    # A WSGI server does not say when it stops; the process just ends.
    stack = contextlib.ExitStack()
    transport = transports.opened(conf, stack)
    wake = clients.ServerClient(transport).wake
    connect = clients.ProxyClient(transport).connect
    catalog = catalogs.writable(conf, stack)
    return deploy.application(conf, catalog, wake, connect)


application = _application()
