# SPDX-License-Identifier: Apache-2.0
"""Repositories."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import repository as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import repository as schemas
from ebackup_service.api.schemas import types
from ebackup_service.api import validation
from ebackup_service.api.views import job as job_views
from ebackup_service.api.views import repository as views
from ebackup_service.server import repositories


def list_repositories(req: request.Request) -> webob.Response:
    req.authorize(policies.LIST)
    validation.query(req, types.EMPTY_QUERY)
    found = repositories.list(req.catalog)
    return answer.json(200, {'repositories': [views.show(r) for r in found]})


def create_repository(req: request.Request) -> webob.Response:
    req.authorize(policies.CREATE)
    asked = validation.body(req, schemas.CREATE)['repository']
    repository, job = repositories.create(
        req.catalog, asked['name'], asked['url']
    )
    req.notify()
    return answer.json(
        202,
        {'repository': views.show(repository), 'job': job_views.show(job)},
    )


def show_repository(req: request.Request, name: str) -> webob.Response:
    req.authorize(policies.SHOW)
    validation.query(req, types.EMPTY_QUERY)
    repository = repositories.show(req.catalog, name)
    return answer.json(200, {'repository': views.show(repository)})


def delete_repository(req: request.Request, name: str) -> webob.Response:
    req.authorize(policies.DELETE)
    validation.query(req, types.EMPTY_QUERY)
    repository = repositories.delete(req.catalog, req.conf, name)
    return answer.json(200, {'repository': views.deleted(repository)})


def show_usage(req: request.Request, name: str) -> webob.Response:
    req.authorize(policies.USAGE)
    validation.query(req, types.EMPTY_QUERY)
    usage = repositories.usage(req.catalog, name)
    return answer.json(200, {'usage': views.usage(usage)})


def collect_repository(req: request.Request, name: str) -> webob.Response:
    req.authorize(policies.COLLECT)
    validation.no_body(req)
    job = repositories.collect(req.catalog, name)
    req.notify()
    return answer.json(202, {'job': job_views.show(job)})


def check_repository(req: request.Request, name: str) -> webob.Response:
    req.authorize(policies.CHECK)
    asked = validation.body(req, schemas.CHECK) if req.body else {}
    fraction = 1.0 if asked.get('read_data') else asked.get('fraction', 0.0)
    job = repositories.check(req.catalog, name, fraction)
    req.notify()
    return answer.json(202, {'job': job_views.show(job)})


def rebuild_catalog(req: request.Request, name: str) -> webob.Response:
    req.authorize(policies.REBUILD)
    validation.no_body(req)
    job = repositories.rebuild(req.catalog, name)
    req.notify()
    return answer.json(202, {'job': job_views.show(job)})
