# SPDX-License-Identifier: Apache-2.0
"""Connecting to a server that may not answer, while the job may be stopped."""

from collections.abc import Callable
import errno
import os
import select
import socket
import time

from ebackup_service.production import waits

# A server that has too many waiting is asked again after so many seconds.
_PAUSE = 0.05


def tcp(
    host: str, port: int, seconds: float, check: Callable[[], None]
) -> int:
    """A connected descriptor that doesn't block, the caller's to close.

    :param seconds: for each address that the host has
    :raises OSError: of the last address
    """
    last = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, kind, protocol, _, place in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        dialled = socket.socket(family, kind, protocol)
        try:
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return _connect(dialled, place, seconds, check)
        except OSError as e:
            last = e
    raise last


def unix(path: str, seconds: float, check: Callable[[], None]) -> int:
    """The same for a UNIX socket."""
    return _connect(socket.socket(socket.AF_UNIX), path, seconds, check)


def _connect(
    dialled: socket.socket,
    place: str | tuple[object, ...],
    seconds: float,
    check: Callable[[], None],
) -> int:
    def connected(wait: float) -> bool:
        result = dialled.connect_ex(place)
        if result == errno.EAGAIN:  # of a UNIX socket
            time.sleep(min(wait, _PAUSE))
            return False
        if result in (errno.EINPROGRESS, errno.EALREADY):
            poll = select.poll()
            poll.register(dialled, select.POLLOUT)
            if not poll.poll(wait * 1000):
                return False
            result = dialled.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result not in (0, errno.EISCONN):
            raise OSError(result, os.strerror(result))
        return True

    with dialled:
        dialled.setblocking(False)
        if not waits.until(connected, seconds, check):
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return dialled.detach()
