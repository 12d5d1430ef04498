# SPDX-License-Identifier: Apache-2.0
"""Asks a server that may be away for a while."""

from collections.abc import Callable
import time
from typing import TypeVar

from oslo_log import log

from ebackup_service.rpc import errors as rpc_errors

LOG = log.getLogger(__name__)

_Answer = TypeVar('_Answer')

_PAUSE = 0.5


def until_answered(
    ask: Callable[[], _Answer],
    check: Callable[[], None],
    pause: Callable[[float], object] = time.sleep,
) -> _Answer:
    """Ask until there is an answer.

    :param check: called after every failure; raises to give up
    :param pause: waits that many seconds, or less
    """
    while True:
        try:
            return ask()
        except rpc_errors.PeerUnreachable as error:
            LOG.warning('%s', error)
            check()
            pause(_PAUSE)
