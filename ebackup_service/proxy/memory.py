# SPDX-License-Identifier: Apache-2.0
"""How many jobs, and workers of theirs, the configured memory carries.

What is counted was measured, rounded up; volumes of any size take the same.
"""

from collections.abc import Iterable
from typing import NamedTuple

from oslo_config import cfg

from ebackup_service.engine import crew
from ebackup_service.engine import places
from ebackup_service.production import registry

MIB = 1 << 20
# The program, with its connections, and upkeep of repositories that have no
# more than some thousand images.
PROGRAM = 72 * MIB
# A job: the pages that are open, those that are compared with, and where the
# chunks are that were stored last.
JOB = 8 * MIB
# One of its workers: a pack that it fills and one that is being written, of 16
# MiB each, a piece of the volume, 4 MiB, and what compression takes. What the
# volume's storage takes, a job says when it has opened that.
WORKER = 38 * MIB


class Plan(NamedTuple):
    """What there is room for.

    jobs: that move data at a time, with a worker at least, wherever their
        volumes are
    room: bytes for workers of all of them together
    needed: bytes for one job and what has to be there besides; more than are
        configured if even that does not fit
    """

    jobs: int
    room: int
    needed: int


def plan(conf: cfg.ConfigOpts, kinds: Iterable[str]) -> Plan:
    """:param kinds: of the storages that volumes may be on"""
    storages = map(registry.storage_class, kinds)
    first = WORKER + max((one.MEMORY for one in storages), default=0)
    rest = conf.proxy.memory - PROGRAM
    jobs = max(min(conf.proxy.max_jobs, rest // (JOB + first)), 1)
    room = max(rest - jobs * JOB, first)
    return Plan(jobs, room, PROGRAM + JOB + first)


def workers(
    conf: cfg.ConfigOpts, share: places.Share, waits: bool = True
) -> int:
    """Of one job, if no other job needs their places.

    :param share: that knows what they need
    :param waits: whether they wait for a storage, see crew.default_size
    """
    wanted: int = conf.proxy.workers or crew.default_size(waits)
    return min(wanted, share.most)
