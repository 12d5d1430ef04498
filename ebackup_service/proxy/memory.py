# SPDX-License-Identifier: Apache-2.0
"""How many jobs, and workers of theirs, the configured memory carries.

What is counted was measured, rounded up; volumes of any size take the same.
"""

from typing import NamedTuple

from oslo_config import cfg

from ebackup_service.engine import crew

MIB = 1 << 20
# The program, with its connections, and upkeep of repositories.
PROGRAM = 72 * MIB
# A job: the pages that are open, those that are compared with, and where the
# chunks are that were stored last.
JOB = 8 * MIB
# One of its workers: a pack that it fills and one that is being written, of 16
# MiB each, a piece of the volume, 4 MiB, and what compression takes.
WORKER = 38 * MIB


class Plan(NamedTuple):
    """What there is room for.

    jobs: that move data at a time
    places: workers of all of them together, at least one each
    """

    jobs: int
    places: int


def plan(conf: cfg.ConfigOpts) -> Plan:
    rest = conf.proxy.memory - PROGRAM
    jobs = max(min(conf.proxy.max_jobs, rest // (JOB + WORKER)), 1)
    places = max((rest - jobs * JOB) // WORKER, 1)
    return Plan(jobs, places)


def workers(conf: cfg.ConfigOpts, waits: bool = True) -> int:
    """Of one job, if no other job needs their places.

    :param waits: whether they wait for a storage, see crew.default_size
    """
    wanted: int = conf.proxy.workers or crew.default_size(waits)
    return min(wanted, plan(conf).places)
