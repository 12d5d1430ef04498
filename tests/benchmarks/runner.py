# SPDX-License-Identifier: Apache-2.0
"""Which benchmarks there are, and who runs them."""

import pathlib
from types import ModuleType

from tests.benchmarks import ceph_driver
from tests.benchmarks import contest
from tests.benchmarks import extents
from tests.benchmarks import garbage
from tests.benchmarks import memory
from tests.benchmarks import process
from tests.benchmarks import rbd_changes
from tests.benchmarks import rbd_volume
from tests.benchmarks import through_cinder
from tests.benchmarks import whole

# Each has NAMES and run(names, directory, size, rounds), which returns name ->
# answer.
FAMILIES: tuple[ModuleType, ...] = (
    whole,
    extents,
    memory,
    garbage,
    rbd_changes,
    rbd_volume,
    through_cinder,
    ceph_driver,
)
NAMES = [name for family in FAMILIES for name in family.NAMES]


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    """Name -> answer, in the order in which the names are given.

    Of a benchmark that could not be run the answer has ``failed``: why.

    :param directory: for data
    :param size: of volumes, bytes, where a benchmark doesn't say it
    """
    answers: dict[str, contest.Answer] = {}
    for family in FAMILIES:
        wanted = [name for name in names if name in family.NAMES]
        if not wanted:
            continue
        try:
            answers |= family.run(wanted, directory, size, rounds)
        except process.Failure as failure:
            print(f'{", ".join(wanted)}: {failure}', flush=True)
            answers |= {name: {'failed': str(failure)} for name in wanted}
    return {name: answers[name] for name in names}
