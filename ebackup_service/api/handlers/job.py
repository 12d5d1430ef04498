# SPDX-License-Identifier: Apache-2.0
"""Jobs."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import job as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import job as schemas
from ebackup_service.api.schemas import types
from ebackup_service.api import validation
from ebackup_service.api.views import job as views
from ebackup_service.server import jobs


def list_jobs(req: request.Request) -> webob.Response:
    """List the own project's jobs, or all for those who may see them."""
    req.authorize(policies.LIST)
    query = validation.query(req, schemas.LIST_QUERY)
    if not req.may(policies.LIST_ALL, req.caller.project_id):
        query.setdefault('project_id', req.caller.project_id)
    req.authorize_listing(policies.LIST_ALL, query)
    found, marker = jobs.list(req.catalog, **req.paged(query))
    return answer.json(
        200, {'jobs': [views.show(job) for job in found], 'next': marker}
    )


def show_job(req: request.Request, job_id: str) -> webob.Response:
    project_id = req.confined_to(policies.SHOW)
    validation.query(req, types.EMPTY_QUERY)
    job = jobs.show(req.catalog, job_id, project_id)
    return answer.json(200, {'job': views.show(job)})


def attach_job(req: request.Request, job_id: str) -> webob.Response:
    project_id = req.confined_to(policies.ATTACH)
    attachment = validation.body(req, schemas.ATTACH)['attachment']
    jobs.show(req.catalog, job_id, project_id)
    job = jobs.attach(req.catalog, job_id, attachment)
    req.notify()
    return answer.json(202, {'job': views.show(job)})


def beat_job(req: request.Request, job_id: str) -> webob.Response:
    project_id = req.confined_to(policies.HEARTBEAT)
    validation.no_body(req)
    jobs.show(req.catalog, job_id, project_id)
    job = jobs.beat(req.catalog, job_id)
    return answer.json(200, {'job': views.show(job)})


def cancel_job(req: request.Request, job_id: str) -> webob.Response:
    project_id = req.confined_to(policies.CANCEL)
    validation.no_body(req)
    jobs.show(req.catalog, job_id, project_id)
    job = jobs.cancel(req.catalog, job_id)
    req.notify()
    return answer.json(202, {'job': views.show(job)})
