# SPDX-License-Identifier: Apache-2.0
"""Jobs."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import job as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import job as schemas
from ebackup_service.api.schemas import types
from ebackup_service.api import validation
from ebackup_service.api.views import connection as connection_views
from ebackup_service.api.views import job as views
from ebackup_service.server import connections
from ebackup_service.server import jobs


def list_jobs(req: request.Request) -> webob.Response:
    """List the own project's jobs, or all for those who may see them."""
    req.authorize(policies.LIST)
    query = validation.query(req, schemas.LIST_QUERY)
    if not req.may(policies.LIST_ALL, req.caller.project_id):
        query.setdefault('project_id', req.caller.project_id)
    req.authorize_listing(policies.LIST_ALL, query)
    if query.pop('exported', False):
        query['exported'] = connections.patience(req.conf)
    found, marker = jobs.list(req.catalog, **req.paged(query))
    exported = connections.of_jobs(req.catalog, found)
    return answer.json(
        200,
        {
            'jobs': [views.listed(job, exported[job.id]) for job in found],
            'next': marker,
        },
    )


def show_job(req: request.Request, job_id: str) -> webob.Response:
    project_id = req.confined_to(policies.SHOW)
    validation.query(req, types.EMPTY_QUERY)
    job = jobs.show(req.catalog, job_id, project_id)
    exported = connections.of_jobs(req.catalog, [job])
    view = views.listed(job, exported[job.id])
    if req.may(policies.ATTACH, job.project_id):
        left = connections.left(req.catalog, job.volume_id)
        view |= views.with_left(job, left)
    return answer.json(200, {'job': view})


def attach_job(req: request.Request, job_id: str) -> webob.Response:
    """Say where a volume is attached, or how its proxy reaches it.

    The latter has secrets: what is wrong with it is not quoted.
    """
    project_id = req.confined_to(policies.ATTACH)
    body = validation.body(req, schemas.ATTACH, secret=True)
    attachment = body['attachment']
    jobs.show(req.catalog, job_id, project_id)
    if attachment['kind'] == connections.KIND:
        job = connections.hand_over(
            req.catalog,
            req.services.connect,
            job_id,
            attachment['host'],
            attachment['connection'],
        )
    else:
        job = jobs.attach(req.catalog, job_id, attachment)
        req.notify()
    return answer.json(202, {'job': views.to_driver(job)})


def begin_to_detach_job(req: request.Request, job_id: str) -> webob.Response:
    """Tell what is to be ended of what was exported for an ended job."""
    project_id = req.confined_to(policies.DETACH)
    validation.no_body(req)
    if project_id is not None:
        jobs.show(req.catalog, job_id, project_id)
    left = connections.claim(req.catalog, job_id)
    return answer.json(
        200, {'connections': [connection_views.show(one) for one in left]}
    )


def detach_job(req: request.Request, job_id: str) -> webob.Response:
    """Take note that nothing is exported for an ended job any more."""
    project_id = req.confined_to(policies.DETACH)
    validation.no_body(req)
    if project_id is not None:
        # Jobs that are forgotten are nobody's.
        jobs.show(req.catalog, job_id, project_id)
    connections.forget(req.catalog, job_id)
    return answer.empty()


def beat_job(req: request.Request, job_id: str) -> webob.Response:
    """Take a beat; answer when the job has ended, or needs its driver.

    Or when the driver wants an answer anyway.
    """
    project_id = req.confined_to(policies.HEARTBEAT)
    seconds = validation.query(req, schemas.BEAT_QUERY).get('wait', 0)
    validation.no_body(req)
    jobs.show(req.catalog, job_id, project_id)
    job = req.services.waits.until(
        lambda found: found.finished or found.needs is not None,
        jobs.beat(req.catalog, job_id),
        lambda: jobs.show(req.catalog, job_id),
        seconds,
    )
    return answer.json(200, {'job': views.to_driver(job)})


def cancel_job(req: request.Request, job_id: str) -> webob.Response:
    project_id = req.confined_to(policies.CANCEL)
    validation.no_body(req)
    jobs.show(req.catalog, job_id, project_id)
    job = jobs.cancel(req.catalog, job_id)
    req.notify()
    return answer.json(202, {'job': views.show(job)})
