# SPDX-License-Identifier: Apache-2.0
"""The REST API for a WSGI server: ``ebackup_service.wsgi:application``.

The configuration is the file that the environment variable
``EBACKUP_CONFIG_FILE`` names, else those that ``ebackup-api`` would read.
"""

import os
from typing import Any

from oslo_log import log
import oslo_messaging

from ebackup_service.api import deploy
from ebackup_service import conf as service_conf
from ebackup_service.rpc import clients
from ebackup_service.server.catalog import database


def _application() -> Any:
    path = os.environ.get('EBACKUP_CONFIG_FILE')
    # A WSGI server's command line is not ours.
    args = ['--config-file', path] if path else []
    conf = service_conf.load('ebackup-api', args)
    log.setup(conf, service_conf.PROJECT)
    transport = oslo_messaging.get_rpc_transport(conf)
    return deploy.application(
        conf, database.Catalog(conf), clients.ServerClient(transport).wake
    )


application = _application()
