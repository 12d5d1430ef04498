# SPDX-License-Identifier: Apache-2.0
"""What everybody may ask, without authentication."""

import webob

from ebackup_service.api import answer
from ebackup_service.api import errors
from ebackup_service.api import request


def _version(req: request.Request) -> dict[str, object]:
    return {
        'id': 'v1.0',
        'status': 'CURRENT',
        'links': [{'rel': 'self', 'href': f'{req.application_url}/v1/'}],
    }


def list_versions(req: request.Request) -> webob.Response:
    return answer.json(200, {'versions': [_version(req)]})


def show_version(req: request.Request) -> webob.Response:
    return answer.json(200, {'version': _version(req)})


def check_health(req: request.Request) -> webob.Response:
    """Say whether requests can be served; why not is in the log."""
    if req.catalog.version() is None:
        raise errors.Unavailable('the catalog has no tables yet')
    return answer.json(200, {'status': 'ok'})
