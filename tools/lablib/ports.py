# SPDX-License-Identifier: Apache-2.0
"""The ports of a lab: consecutive ones, chosen once."""

import grp
import pwd
import random
import socket

from lablib import console

NAMES = (
    'keystone',
    'cinder',
    'ebackup',
    'mariadb',
    'rabbitmq',
    'rabbitmq-distribution',
    'epmd',
    'ceph-mon',
    'ceph-rgw',
    # The first of those from which Ceph's other daemons choose: an OSD has
    # four, of which it may give up three for new ones; a manager has one.
    'ceph-daemons',
)
CEPH_DAEMONS = 10
COUNT = len(NAMES) - 1 + CEPH_DAEMONS

# Below the ports that the kernel hands out, and off the beaten track.
_FIRST, _LAST = 21000, 32000
# The last one is for what tests start.
_STEP = COUNT + 1


def choose(base: int | None = None) -> int:
    """Return the first of COUNT ports that nobody listens on.

    The number is a user id as well, so it must not be somebody's.
    """
    if base is not None:
        busy = _busy(base)
        if busy:
            raise console.Problem(f'--base-port {base}: {busy}')
        return base
    candidates = list(range(_FIRST, _LAST, _STEP))
    # Random, so that two labs made at the same time do not meet.
    random.shuffle(candidates)
    for candidate in candidates:
        if not _busy(candidate):
            return candidate
    raise console.Problem(f'no free ports between {_FIRST} and {_LAST}')


def _busy(base: int) -> str | None:
    for port in range(base, base + COUNT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                return f'port {port} is in use'
    for number in base, base + 1:
        for find in pwd.getpwuid, grp.getgrgid:
            try:
                find(number)
            except KeyError:
                continue
            return f'{number} is the id of a user or group'
    return None
