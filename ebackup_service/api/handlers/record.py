# SPDX-License-Identifier: Apache-2.0
"""Records, by which an image is exported and imported."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import record as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import record as schemas
from ebackup_service.api.schemas import types
from ebackup_service.api import validation
from ebackup_service.api.views import image as image_views
from ebackup_service.server import images
from ebackup_service.server import records


def show_record(req: request.Request, image_id: str) -> webob.Response:
    """Answer with what an import needs, and the volume's metadata."""
    project_id = req.confined_to(policies.SHOW)
    validation.query(req, types.EMPTY_QUERY)
    record = records.show(req.catalog, image_id, project_id)
    image = images.show(req.catalog, image_id, project_id)
    return answer.json(
        200, {'record': record | {'volume_metadata': image.volume_metadata}}
    )


def import_record(req: request.Request, image_id: str) -> webob.Response:
    """Answer 200 if the service agrees that the image is the project's."""
    req.authorize(policies.IMPORT)
    asked = validation.body(req, schemas.IMPORT)
    req.authorize(policies.IMPORT, asked['project_id'])
    image = records.confirm(
        req.catalog, image_id, asked['project_id'], asked['record']
    )
    return answer.json(200, {'image': image_views.show(image)})
