# SPDX-License-Identifier: Apache-2.0
"""Who makes a request: user, project, roles."""

from typing import Any

from oslo_context import context as oslo_context

ENVIRON_KEY = 'ebackup.context'


class Context(oslo_context.RequestContext):
    """The caller of one request, as an authentication strategy found it."""


def enter(environ: dict[str, Any], **caller: Any) -> None:
    """Note the caller of a request.

    Without ``caller`` it is read from the headers of an authenticating
    middleware; with it, no header can add to it.
    """
    if not caller:
        environ[ENVIRON_KEY] = Context.from_environ(environ)
        return
    environ[ENVIRON_KEY] = Context(
        request_id=environ.get('openstack.request_id'),
        global_request_id=environ.get('openstack.global_request_id'),
        **caller,
    )
