# SPDX-License-Identifier: Apache-2.0
"""Volumes."""

import webob

from ebackup_service.api import answer
from ebackup_service.api.policies import volume as policies
from ebackup_service.api import request
from ebackup_service.api.schemas import types
from ebackup_service.api import validation
from ebackup_service.server import volumes


def forsake_anchors(req: request.Request, volume_id: str) -> webob.Response:
    req.authorize(policies.FORSAKE_ANCHORS)
    validation.query(req, types.EMPTY_QUERY)
    volumes.forsake_anchors(req.catalog, volume_id, emptied=True)
    return answer.empty()
