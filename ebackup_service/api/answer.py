# SPDX-License-Identifier: Apache-2.0
"""Answers in JSON."""

from typing import Any

import webob


def json(status: int, body: dict[str, Any]) -> webob.Response:
    response = webob.Response(status=status, json_body=body)
    # A job's progress read from a cache would look like a standstill.
    response.headers['Cache-Control'] = 'no-store'
    return response


def empty() -> webob.Response:
    response = webob.Response(status=204)
    response.content_type = None
    return response
