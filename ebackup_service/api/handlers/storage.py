# SPDX-License-Identifier: Apache-2.0
"""Production storages."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import storage as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import storage as schemas
from ebackup_service.api.schemas import types
from ebackup_service.api import validation
from ebackup_service.api.views import storage as views
from ebackup_service.server import storages


def list_storages(req: request.Request) -> webob.Response:
    req.authorize(policies.LIST)
    validation.query(req, types.EMPTY_QUERY)
    found = storages.list(req.catalog)
    return answer.json(200, {'storages': [views.show(s) for s in found]})


def create_storage(req: request.Request) -> webob.Response:
    req.authorize(policies.CREATE)
    asked = validation.body(req, schemas.CREATE, secret=True)['storage']
    storage = storages.create(req.catalog, req.conf, **asked)
    return answer.json(201, {'storage': views.show(storage)})


def show_storage(req: request.Request, name: str) -> webob.Response:
    req.authorize(policies.SHOW)
    validation.query(req, types.EMPTY_QUERY)
    storage = storages.show(req.catalog, name)
    return answer.json(200, {'storage': views.show(storage)})


def update_storage(req: request.Request, name: str) -> webob.Response:
    req.authorize(policies.UPDATE)
    asked = validation.body(req, schemas.UPDATE, secret=True)['storage']
    storage = storages.update(req.catalog, req.conf, name, **asked)
    return answer.json(200, {'storage': views.show(storage)})


def delete_storage(req: request.Request, name: str) -> webob.Response:
    """Forget one; by force it is said what may be left there."""
    req.authorize(policies.DELETE)
    force = validation.query(req, schemas.DELETE_QUERY).get('force', False)
    if force:
        req.authorize(policies.FORCE_DELETE)
    storage, left = storages.delete(req.catalog, name, force)
    if not force:
        return answer.empty()
    req.notify()
    return answer.json(200, {'storage': views.abandoned(storage, left)})
