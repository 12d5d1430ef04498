# SPDX-License-Identifier: Apache-2.0
"""Incrementals of which the production storage says what changed.

The same forty aligned runs of 1 MiB, at the same offsets, of volumes that are
alike in their first GiB and holes behind it, against bases that are alike: an
incremental of a large volume must not cost more than one of a small volume.
Seconds are the engine's, from opening the volume to the committed image: what
a process takes to start would hide differences.
"""

import json
import pathlib
import shutil

from tests.benchmarks import cache
from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks import process
from tests.benchmarks import sparse

NAMES = {f'extents-{name}': name for name in ('4g', '64g', '1t')}
_REFERENCE = '4g'
_FILLED = 1 << 30
_RUNS = 40
_TIMES = 5  # in a round; they are short
CHANGES = [
    (start, data.MIB)
    for start in range(0, _FILLED, _FILLED // _RUNS // data.MIB * data.MIB)
][:_RUNS]


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    place = directory / 'extents'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    wanted = dict.fromkeys([_REFERENCE, *(NAMES[name] for name in names)])
    try:
        (place / 'changes.json').write_text(json.dumps(CHANGES))
        volumes = {one: Volume(place, one) for one in wanted}
        samples: dict[str, list[contest.Figures]] = {one: [] for one in wanted}
        for number in range(rounds):
            print(f'extents: round {number + 1} of {rounds}', flush=True)
            for _ in range(_TIMES):
                for one, volume in volumes.items():
                    samples[one].append(volume.back_up())
    finally:
        shutil.rmtree(place)
    return {name: _answer(NAMES[name], samples) for name in names}


class Volume:
    """With a repository of its own that holds its base."""

    def __init__(self, place: pathlib.Path, name: str) -> None:
        print(f'making a volume of {name} and its base', flush=True)
        self._repository = place / f'repository-{name}'
        self._path = place / f'{name}.raw'
        self._changes = place / 'changes.json'
        sparse.make(self._path, sparse.SIZES[name], _FILLED)
        self._base = process.run(
            'engine', 'backup', self._repository, self._path
        )['image']
        sparse.fill(self._path, 1, CHANGES)

    def back_up(self) -> contest.Figures:
        """Store what changed since the base, whatever was stored since."""
        cache.settle()
        answer = process.run(
            *('engine', 'backup', self._repository, self._path),
            *(self._base, self._changes),
        )
        figures = {
            **answer.pop('process'),
            'wall_seconds': answer['wall'],
            'cpu_seconds': answer['cpu'],
            **answer['statistics'],
        }
        if figures['bytes_read'] != _RUNS * data.MIB:
            raise process.Failure(
                f'{figures["bytes_read"]} bytes were read of '
                f'{_RUNS * data.MIB} that changed'
            )
        return figures


def _answer(
    name: str, samples: dict[str, list[contest.Figures]]
) -> contest.Answer:
    ours, reference = samples[name], samples[_REFERENCE]
    return {
        'title': f'forty changed runs of 1 MiB that the source names, {name}',
        'rounds': len(ours),
        'figures': contest.medians(ours),
        'peers': {}
        if name == _REFERENCE
        else {f'ours, {_REFERENCE}': contest.medians(reference)},
        'ratios': {}
        if name == _REFERENCE
        else {
            'ours': contest.ratios(
                ours,
                reference,
                *('wall_seconds', 'cpu_seconds', 'metadata_bytes'),
            )
        },
    }
