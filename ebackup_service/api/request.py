# SPDX-License-Identifier: Apache-2.0
"""A request as handlers see it."""

from collections.abc import Callable
import dataclasses
import logging
from typing import Any

from oslo_config import cfg
import webob

from ebackup_service.api import context
from ebackup_service.api import errors
from ebackup_service.api import policy
from ebackup_service.api import waits
from ebackup_service.server.catalog import database
from ebackup_service.server import connections

LOG = logging.getLogger(__name__)
SERVICES_KEY = 'ebackup.services'
# The project of no caller: a rule that holds for it holds for all projects.
NO_PROJECT = '\0'


@dataclasses.dataclass(frozen=True)
class Services:
    """What the application was made with; shared by all requests.

    ``notify`` tells the server that a job waits. ``connect`` gives a proxy
    the connection that a job of its waits for. ``waits`` are the requests that
    wait for something.
    """

    conf: cfg.ConfigOpts
    catalog: database.Catalog
    policy: policy.Policy
    notify: Callable[[], None]
    connect: connections.Connect
    waits: waits.Waits


class Request(webob.Request):
    """A request with its caller and the parts of the service."""

    @property
    def services(self) -> Services:
        services: Services = self.environ[SERVICES_KEY]
        return services

    @property
    def conf(self) -> cfg.ConfigOpts:
        return self.services.conf

    @property
    def catalog(self) -> database.Catalog:
        return self.services.catalog

    def notify(self) -> None:
        """Tell the server that a job waits; it finds it anyway, later."""
        try:
            self.services.notify()
        except Exception as error:
            LOG.warning('Cannot wake the server: %s', error)

    def paged(self, query: dict[str, Any]) -> dict[str, Any]:
        """Return the query with a limit that the operator allows."""
        most = self.conf.api.max_limit
        return {**query, 'limit': min(query.get('limit', most), most)}

    @property
    def caller(self) -> context.Context:
        caller: context.Context = self.environ[context.ENVIRON_KEY]
        return caller

    def may(self, rule: str, project_id: str | None) -> bool:
        """Tell whether the caller may do this to an object of the project."""
        return self.services.policy.allows(self.caller, rule, project_id)

    def authorize(self, rule: str, project_id: str | None = None) -> None:
        """Raise Forbidden unless the caller may do this to the project.

        Without ``project_id`` the caller's own is meant: who may not even do
        it there is turned away before anything is looked up, so that the
        answer says nothing of what exists.
        """
        if not self.may(rule, project_id or self.caller.project_id):
            raise errors.Forbidden(f'your roles do not allow {rule}')

    def authorize_listing(self, rule: str, query: dict[str, Any]) -> None:
        """Raise Forbidden if only ``rule`` would allow what is listed.

        That is everything but the caller's own project.
        """
        own = self.caller.project_id
        if own is None or query.get('project_id') != own:
            self.authorize(rule)

    def confined_to(self, rule: str) -> str | None:
        """Return the one project whose objects the rule holds for.

        None means that it holds for every project's. Raises Forbidden if it
        holds for none.
        """
        self.authorize(rule)
        if self.may(rule, NO_PROJECT):
            return None
        if self.caller.project_id is None:
            raise errors.Forbidden('a token of a project is required')
        project_id: str = self.caller.project_id
        return project_id
