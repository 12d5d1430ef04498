# SPDX-License-Identifier: Apache-2.0
"""Asks a server that may be away for a while."""

from collections.abc import Callable
import time
from typing import TypeVar

from oslo_log import log

from ebackup_service.proxy import errors
from ebackup_service.proxy import task as proxy_task
from ebackup_service.rpc import errors as rpc_errors

LOG = log.getLogger(__name__)

_Answer = TypeVar('_Answer')

# Seconds between two looks whether the job has to stop.
_PAUSE = 0.5
# Pauses between two tries, at most; each time twice as many, since each try
# may keep all others from the catalog for a while.
_PAUSES = 8
# Seconds after which another run may have better luck with the server.
_SILENCE = 120.0
# Leases. Who still has one after two of them was heard by the server, and by
# its database, meanwhile: neither is away, it fails each time.
_LEASES = 2


def until_answered(
    task: proxy_task.Task,
    ask: Callable[[], _Answer],
    pause: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> _Answer:
    """Ask until there is an answer, or the job has to stop.

    :param pause: waits that many seconds
    :raises errors.Fenced: no server answers; another run may go on
    :raises errors.ServerFailed: it fails each time, as it would in another run
    :raises JobStopped, LeaseLost: as the job's control does
    """
    began, pauses = clock(), 1
    failing: float | None = None
    while True:
        try:
            return ask()
        except rpc_errors.PeerUnreachable as error:
            LOG.warning('Job %s: %s', task.spec.id, error)
            task.control.check()
            now = clock()
            if not isinstance(error, rpc_errors.PeerErred):
                failing = None
            elif failing is None:
                failing = now
            elif now - failing >= _LEASES * task.spec.lease:
                raise errors.ServerFailed(
                    f'{error}: see the log of the servers'
                ) from error
            if failing is None and now - began >= _SILENCE:
                raise errors.Fenced('The server does not answer.') from error
        for _ in range(pauses):
            pause(_PAUSE)
            task.control.check()
        pauses = min(2 * pauses, _PAUSES)
