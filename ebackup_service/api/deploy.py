# SPDX-License-Identifier: Apache-2.0
"""Puts the application together."""

from collections.abc import Callable
from typing import Any

from oslo_config import cfg
from oslo_middleware import http_proxy_to_wsgi
from oslo_middleware import request_id

from ebackup_service.api import access_log
from ebackup_service.api import auth
from ebackup_service.api import body_limit
from ebackup_service.api import faults
from ebackup_service.api import policy
from ebackup_service.api import request
from ebackup_service.api import router
from ebackup_service.api import routes
from ebackup_service.api import waits
from ebackup_service.server.catalog import database
from ebackup_service.server import connections


def application(
    conf: cfg.ConfigOpts,
    catalog: database.Catalog,
    notify: Callable[[], None],
    connect: connections.Connect,
    waiting: waits.Waits | None = None,
) -> Any:
    """Return the WSGI application.

    ``notify`` is called when a job waits for the server; it may fail, since
    the server looks for waiting jobs by itself, too. ``connect`` gives a
    connection to a job at its proxy. ``waiting`` are the requests that wait
    for something; without it none does. Raises ``errors.Misconfigured`` if the
    configuration would let everybody in or nobody.
    """
    services = request.Services(
        conf=conf,
        catalog=catalog,
        policy=policy.Policy(conf),
        notify=notify,
        connect=connect,
        waits=waiting or waits.Waits(0),
    )
    app: Any = auth.wrap(router.Router(routes.ROUTES), conf)
    app = router.Router(routes.PUBLIC, otherwise=app)
    app = body_limit.BodyLimit(app, conf.api.max_request_body)
    app = faults.Faults(app)
    app = access_log.AccessLog(app)
    app = request_id.RequestId(app, conf)
    app = http_proxy_to_wsgi.HTTPProxyToWSGI(app, conf)
    return _with_services(app, services)


def _with_services(app: Any, services: request.Services) -> Any:
    def entered(environ: dict[str, Any], start_response: Any) -> Any:
        environ[request.SERVICES_KEY] = services
        return app(environ, start_response)

    return entered
