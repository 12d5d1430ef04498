# SPDX-License-Identifier: Apache-2.0
"""Turns whatever goes wrong below into a JSON answer."""

import http
import logging

from oslo_db import exception as db_errors
from oslo_middleware import request_id
import sqlalchemy as sa
import webob
import webob.dec
import webob.exc

from ebackup_service.api import context
from ebackup_service.api import errors
from ebackup_service.server import errors as server_errors

LOG = logging.getLogger(__name__)
# The database is away, full, read-only, locked: no fault of the statement.
_UNAVAILABLE = (
    db_errors.DBConnectionError,
    sa.exc.OperationalError,
    sa.exc.InternalError,
)


class Faults:
    """Answers for exceptions, and in our words for other middlewares.

    Our own code raises what is wrong. An error that comes as an answer is a
    library's, in HTML or in a form of its own. What the caller can do nothing
    about is logged here and nowhere else; the answer then only says where to
    look.
    """

    def __init__(self, app: webob.dec.wsgify) -> None:
        self._app = app

    @webob.dec.wsgify
    def __call__(self, req: webob.Request) -> webob.Response:
        # Log lines of this request must not carry the thread's last caller.
        context.Context(request_id=req.environ.get(request_id.ENV_REQUEST_ID))
        try:
            return _reworded(req.get_response(self._app))
        except errors.ApiError as error:
            response = errors.response(error.code, error.kind, str(error))
            response.headers.update(error.headers)
            return response
        except server_errors.ServerError as error:
            return errors.response(error.code, error.kind, str(error))
        except webob.exc.HTTPException as error:
            return _reworded(error)
        except _UNAVAILABLE:
            LOG.exception('The catalog cannot be used')
            return errors.response(
                503,
                'catalog-unavailable',
                "the catalog cannot be used now: the API's log says why; try "
                'again later',
            )
        except Exception:
            LOG.exception('Unexpected error in %s %s', req.method, req.path)
            return errors.response(
                500,
                'internal-error',
                "unexpected error; the API's log has the details under this "
                "answer's request id",
            )


def _reworded(response: webob.Response) -> webob.Response:
    """Replace the body of an error."""
    code = response.status_int
    if code < 400:
        return response
    status = http.HTTPStatus(code)
    kind = status.phrase.lower().replace(' ', '-')
    reworded = errors.response(code, kind, _MESSAGES.get(code, status.phrase))
    for name in ('WWW-Authenticate', 'Retry-After'):
        if name in response.headers:
            reworded.headers[name] = response.headers[name]
    return reworded


_MESSAGES = {
    401: str(errors.Unauthorized()),
    503: 'the identity service does not answer; try again later',
}
