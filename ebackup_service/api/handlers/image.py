# SPDX-License-Identifier: Apache-2.0
"""Backup images."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import image as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import image as schemas
from ebackup_service.api.schemas import types
from ebackup_service.api import validation
from ebackup_service.api.views import image as views
from ebackup_service.api.views import job as job_views
from ebackup_service.server import connections
from ebackup_service.server import images


def list_images(req: request.Request) -> webob.Response:
    """List the own project's images; others' for those who may."""
    req.authorize(policies.LIST)
    query = validation.query(req, schemas.LIST_QUERY)
    if not query.pop('all_projects', False):
        query.setdefault('project_id', req.caller.project_id)
    req.authorize_listing(policies.LIST_ALL, query)
    found, marker = images.list(req.catalog, **req.paged(query))
    return answer.json(
        200, {'images': [views.show(i) for i in found], 'next': marker}
    )


def show_image(req: request.Request, image_id: str) -> webob.Response:
    project_id = req.confined_to(policies.SHOW)
    validation.query(req, types.EMPTY_QUERY)
    image = images.show(req.catalog, image_id, project_id)
    return answer.json(200, {'image': views.detail(image)})


def reserve_image(req: request.Request, image_id: str) -> webob.Response:
    """Answer 202 while the image is made, 200 once it is there."""
    req.authorize(policies.RESERVE)
    asked = validation.body(req, schemas.RESERVE)['image']
    req.authorize(policies.RESERVE, asked['project_id'])
    image, job = images.reserve(req.catalog, req.conf, image_id, asked)
    left = connections.left(req.catalog, asked['volume']['id'])
    req.notify()
    return answer.json(
        200 if job is None else 202,
        {
            'image': views.show(image),
            'job': None if job is None else job_views.with_left(job, left),
        },
    )


def update_image(req: request.Request, image_id: str) -> webob.Response:
    req.authorize(policies.UPDATE)
    asked = validation.body(req, schemas.UPDATE)['image']
    image = images.update(req.catalog, image_id, **asked)
    return answer.json(200, {'image': views.detail(image)})


def delete_image(req: request.Request, image_id: str) -> webob.Response:
    """Answer 202 with the job, 204 if there is nothing to delete."""
    confined_to = req.confined_to(policies.DELETE)
    asked = validation.query(req, schemas.DELETE_QUERY)
    if confined_to is not None:
        # Unknown ids get tombstones from those only who act for everybody.
        images.show(req.catalog, image_id, confined_to)
    project_id = asked.get('project_id', confined_to)
    job = images.delete(req.catalog, image_id, project_id)
    if job is None:
        return answer.empty()
    req.notify()
    return answer.json(202, {'job': job_views.show(job)})
