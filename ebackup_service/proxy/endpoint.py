# SPDX-License-Identifier: Apache-2.0
"""What a proxy is told by servers; ``rpc.clients`` tells it."""

from typing import Any

from oslo_log import log

from ebackup_service.proxy import crew as proxy_crew
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import listeners
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)

Context = dict[str, Any]


class ProxyEndpoint:
    """Answers next to nothing: what becomes of a job is reported."""

    target = listeners.VERSION

    def __init__(self, crew: proxy_crew.Crew) -> None:
        self._crew = crew

    def run_job(self, context: Context, job: dict[str, Any]) -> None:
        try:
            spec = messages.JobSpec.from_dict(job)
        except rpc_errors.MessageInvalid as error:
            # the server takes the job back when nobody renews its lease
            LOG.error('A job could not be understood: %s', error)
            return
        self._crew.start(spec)

    def cancel_job(
        self, context: Context, job_id: str, token: int, reason: str
    ) -> None:
        self._crew.cancel(job_id, token, reason)

    @listeners.answered
    def connect(
        self,
        context: Context,
        job_id: str,
        token: int,
        connection: dict[str, Any],
    ) -> dict[str, Any]:
        return self._crew.connect(
            job_id, token, messages.Connection.from_dict(connection)
        ).to_dict()
