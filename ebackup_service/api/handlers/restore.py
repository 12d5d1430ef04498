# SPDX-License-Identifier: Apache-2.0
"""Restores."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import restore as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import restore as schemas
from ebackup_service.api import validation
from ebackup_service.api.views import job as views
from ebackup_service.server import connections
from ebackup_service.server import restores


def reserve_restore(req: request.Request, job_id: str) -> webob.Response:
    req.authorize(policies.RESERVE)
    asked = validation.body(req, schemas.RESERVE)['restore']
    req.authorize(policies.RESERVE, asked['project_id'])
    job = restores.reserve(req.catalog, req.conf, job_id, asked)
    left = connections.left(req.catalog, asked['volume']['id'])
    req.notify()
    return answer.json(202, {'job': views.with_left(job, left)})
