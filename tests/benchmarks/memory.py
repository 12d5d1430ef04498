# SPDX-License-Identifier: Apache-2.0
"""Memory of a large volume beside that of a small one with the same data.

The data of the small volume are spread over the large one, so that its tree is
as wide as that of a full volume and its holes are many.
"""

import pathlib
import shutil

from tests.benchmarks import cache
from tests.benchmarks import compare
from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks import process
from tests.benchmarks import sparse

NAMES = {'memory-backup': 'backup', 'memory-restore': 'restore'}
_LARGE = sparse.SIZES['1t']


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    volume = data.Volume(directory, 'real', size)
    volume.prepare()
    place = directory / 'memory'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    large = place / 'large.raw'
    samples: dict[str, list[contest.Figures]] = {}
    try:
        print(f'spreading {volume.path.name} over 1 TiB', flush=True)
        sparse.scatter(volume.path, large, _LARGE)
        for number in range(rounds):
            print(f'memory: round {number + 1} of {rounds}', flush=True)
            for which, path in ('small', volume.path), ('large', large):
                for job, figures in _round(place, path).items():
                    samples.setdefault(f'{job} {which}', []).append(figures)
    finally:
        shutil.rmtree(place)
    return {name: _answer(volume, NAMES[name], samples) for name in names}


def _round(
    place: pathlib.Path, volume: pathlib.Path
) -> dict[str, contest.Figures]:
    repository, restored = place / 'repository', place / 'restored.raw'
    cache.settle()
    made = process.run('engine', 'backup', repository, volume)
    restored.touch()
    cache.settle()
    again = process.run(
        'engine', 'restore', repository, restored, made['image']
    )
    compare.same(volume, restored)
    restored.unlink()
    shutil.rmtree(repository)
    return {'backup': made['process'], 'restore': again['process']}


def _answer(
    volume: data.Volume, job: str, samples: dict[str, list[contest.Figures]]
) -> contest.Answer:
    large, small = samples[f'{job} large'], samples[f'{job} small']
    return {
        'title': f'{job} of 1 TiB with {volume.size >> 20} MiB spread over '
        'it, beside a volume of that size',
        'rounds': len(large),
        'figures': contest.medians(large),
        'peers': {f'ours, {volume.size >> 20} MiB': contest.medians(small)},
        'ratios': {
            'ours': contest.ratios(
                large, small, 'peak_anonymous_bytes', 'wall_seconds'
            )
        },
    }
