# SPDX-License-Identifier: Apache-2.0
"""Backup proxies."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import proxy as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import types
from ebackup_service.api import validation
from ebackup_service.api.views import proxy as views
from ebackup_service.server import proxies


def list_proxies(req: request.Request) -> webob.Response:
    req.authorize(policies.LIST)
    validation.query(req, types.EMPTY_QUERY)
    found = proxies.list(req.catalog, req.conf)
    return answer.json(200, {'proxies': [views.show(p) for p in found]})
