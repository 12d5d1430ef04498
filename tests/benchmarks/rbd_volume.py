# SPDX-License-Identifier: Apache-2.0
"""All of an image in Ceph, and 1 % of the blocks of 4 KiB of another.

The first holds a file system. Its backup takes turns with ``rbd export`` of a
snapshot to nowhere, which only reads, one object at a time, and with the
engine on the same bytes in the page cache, which has nobody to read them from:
both have to be done, on the same cores; or, apart, with half of the cores for
Ceph and the other half for whoever reads, as where OSDs have machines of their
own. The other one holds random bytes, all
over: of an object that was made since the last backup, Ceph names all of it up
to its last byte, and not only what was written.
"""

import pathlib
import random
import shutil

from tests.benchmarks import cache
from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks import images
from tests.benchmarks import process
from tests.benchmarks import rbd_image
from tests.benchmarks import sparse

_TITLES = {
    'rbd-full': 'first backup of an image in Ceph',
    'rbd-apart': 'first backup of an image in Ceph that has half of the cores',
}
NAMES = (*_TITLES, 'rbd-random')
_BLOCK = 4096
_SHARE = 0.01
_EXPORT, _ENGINE = 'rbd export', 'ours, from a file'
_SLOWER = 'slower of both'

Turn = dict[str, contest.Figures]


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    place = directory / 'rbd-volume'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    answers: dict[str, contest.Answer] = {}
    try:
        with images.cluster(place / 'ceph') as cluster:
            if set(names) & set(_TITLES):
                full = _Full(cluster, directory, place, size)
                if 'rbd-full' in names:
                    answers['rbd-full'] = full.run('rbd-full', rounds)
                if 'rbd-apart' in names:
                    with cluster.apart():
                        answers['rbd-apart'] = full.run('rbd-apart', rounds)
            if 'rbd-random' in names:
                answers['rbd-random'] = _random(cluster, place, size, rounds)
    finally:
        shutil.rmtree(place)
    return answers


class _Full:
    """An image with a file system, and its snapshot."""

    def __init__(
        self,
        cluster: images.Cluster,
        directory: pathlib.Path,
        place: pathlib.Path,
        size: int,
    ) -> None:
        """:param directory: for data that stay, ``place`` for others"""
        self._cluster = cluster
        self._place = place
        self._volume = data.Volume(directory, 'real', size)
        self._volume.prepare()
        self._image = rbd_image.Image(
            *(cluster, place, 'full', size),
            images.of_file(self._volume.path),
        )
        self._exported = cluster.take_snapshot(self._image.name, 'exported')

    def run(self, name: str, rounds: int) -> contest.Answer:
        turns: list[Turn] = []
        for number in range(rounds):
            print(f'{name}: round {number + 1} of {rounds}', flush=True)
            turns.append(
                {
                    'ours': _timed(self._image.run('full')),
                    _EXPORT: _export(self._cluster, self._exported),
                    _ENGINE: _alone(self._place, self._volume.path),
                }
            )
            self._image.forget()
        size = {'volume_bytes': self._volume.size}
        samples = {name: [turn[name] for turn in turns] for name in turns[-1]}
        ours = samples.pop('ours')
        slower = [
            {
                'wall_seconds': max(
                    turn[name]['wall_seconds'] for name in samples
                )
            }
            for turn in turns
        ]
        return {
            'title': f'{_TITLES[name]}: {self._volume.size >> 20} MiB, an '
            'ext4 file system',
            'rounds': rounds,
            'figures': contest.medians(ours) | size,
            'peers': {
                name: contest.medians(others) | size
                for name, others in samples.items()
            },
            'ratios': {
                name: contest.ratios(others, ours, 'wall_seconds')
                for name, others in [*samples.items(), (_SLOWER, slower)]
            },
        }


def _timed(figures: contest.Figures) -> contest.Figures:
    """With the seconds of the job alone: a proxy does many of them."""
    taken = figures.pop('engine')
    return {**figures, **taken}


def _export(cluster: images.Cluster, snapshot: str) -> contest.Figures:
    cache.settle()
    # It takes no file that is there already, not even that one.
    script = 'exec rbd --conf "$0" --no-progress export "$1" - >/dev/null'
    with cluster.serving() as serving:
        measured = process.measure(
            process.Command(['/bin/sh', '-c', script, cluster.conf, snapshot])
        )
    return {**measured.figures(), **serving}


def _alone(place: pathlib.Path, path: pathlib.Path) -> contest.Figures:
    """The same bytes, from the page cache."""
    cache.warm(path)
    cache.settle()
    repository = place / 'repository-file'
    answer = process.run('engine', 'backup', repository, path)
    shutil.rmtree(repository)
    return {
        **answer['process'],
        'wall_seconds': answer['wall'],
        'cpu_seconds': answer['cpu'],
        'read_bytes': answer['statistics']['bytes_read'],
    }


def _random(
    cluster: images.Cluster, place: pathlib.Path, size: int, rounds: int
) -> contest.Answer:
    image = rbd_image.Image(
        *(cluster, place, 'random', size), sparse.pieces(0, [(0, size)])
    )
    image.make_base()
    choose = random.Random(1)
    blocks = range(size // _BLOCK)
    changed = sorted(choose.sample(blocks, round(len(blocks) * _SHARE)))
    print(f'changing {len(changed)} blocks', flush=True)
    image.write(
        (number * _BLOCK, choose.randbytes(_BLOCK)) for number in changed
    )
    chunks = {number * _BLOCK // data.CHUNK for number in changed}
    samples = []
    for number in range(rounds):
        print(f'rbd: random, round {number + 1} of {rounds}', flush=True)
        samples.append(
            {
                **_timed(image.run('next')),
                'changed_bytes': len(chunks) * data.CHUNK,
            }
        )
    return {
        'title': f'second backup of an image in Ceph: {size >> 20} MiB, '
        f'{len(changed)} changed blocks of 4 KiB',
        'rounds': rounds,
        'figures': contest.medians(samples),
        'peers': {},
        'ratios': {
            'ours': {
                'read_bytes': contest.ratio(
                    [one['read_bytes'] for one in samples],
                    [one['changed_bytes'] for one in samples],
                )
            }
        },
    }
