# SPDX-License-Identifier: Apache-2.0
"""Whole volumes: backed up, backed up again, restored.

Three comparisons: of the engine alone with the kernels (what nobody can do
without, see kernels.py), before and after it on the same bytes; of a process
that runs the engine once with the same of other programs, start-up included;
and of the engine alone with those, since a proxy is started once for many
jobs.

All find the volume, and for a restore their repository, in the page cache, and
the disk idle. Most of the others don't wait until what they wrote is durable,
as ours does; ``flush_seconds`` is what is left of that when they have ended,
and ``durable_wall_seconds`` compares both together.
"""

import pathlib

from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks import peers
from tests.benchmarks.peers import base
from tests.benchmarks import round as one_round
from tests.benchmarks import standings

JOBS = {
    'full': 'first backup',
    'unchanged': 'second backup, nothing changed, whole scan',
    'changed-1pct': 'second backup, 1 % changed, whole scan',
    'restore': 'restore to an empty file, compared byte for byte',
}
NAMES = {
    **{job: ('real', job) for job in JOBS},
    **{f'random-{job}': ('random', job) for job in JOBS},
}
_KINDS = {'real': 'an ext4 file system', 'random': 'random bytes'}


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    answers: dict[str, contest.Answer] = {}
    place = directory / 'contest'
    for kind in data.KINDS:
        jobs = {
            job: name
            for name in names
            for other, job in [NAMES[name]]
            if other == kind
        }
        if not jobs:
            continue
        volume = data.Volume(directory, kind, size)
        volume.prepare()
        others: list[base.Peer] = []
        about: standings.About = {}
        if kind == 'real' and base.ALL_JOBS.intersection(jobs):
            others, about = peers.at_hand(peers.everyone(directory, place))
        turns: dict[str, list[standings.Turn]] = {job: [] for job in jobs}
        for number in range(rounds):
            print(f'{kind}: round {number + 1} of {rounds}', flush=True)
            one = one_round.Round(volume, place, others)
            try:
                for job in jobs:
                    turns[job].append(one.run(job))
            finally:
                one.clean()
        for job, name in jobs.items():
            answers[name] = standings.answer(
                f'{JOBS[job]}: {volume.size >> 20} MiB, {_KINDS[kind]}',
                volume.size,
                turns[job],
                about if job in base.ALL_JOBS else {},
            )
    return answers
