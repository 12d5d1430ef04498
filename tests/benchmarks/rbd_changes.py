# SPDX-License-Identifier: Apache-2.0
"""Images in Ceph of which little has changed since the last backup.

Forty aligned runs of 1 MiB are other ones, in images of 4 and 256 GiB that are
alike in their first GiB and hold nothing behind it: they are backed up, and
taken back by a restore in place. Seconds are those of a job as a proxy does
it, from connecting to Ceph to the committed image or the flushed volume. What
the OSD has sent, as it says, stands beside what the engine says that it has
read.
"""

import pathlib
import shutil

from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks import extents
from tests.benchmarks import images
from tests.benchmarks import process
from tests.benchmarks import rbd_image
from tests.benchmarks import sparse

_REFERENCE = '4g'
_RESTORE = 'rbd-restore'
NAMES = {'rbd-4g': _REFERENCE, 'rbd-256g': '256g', _RESTORE: _REFERENCE}
_TIMES = 3  # in a round; they are short
_BASE, _OTHER = 0, 1  # seeds of random bytes
_FILLED = [(0, 1 << 30)]
_CHANGED = sum(length for _, length in extents.CHANGES)


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    place = directory / 'rbd-changes'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    wanted = dict.fromkeys([_REFERENCE, *(NAMES[name] for name in names)])
    samples: dict[str, list[contest.Figures]] = {}
    try:
        with images.cluster(place / 'ceph') as cluster:
            volumes = {one: _make(cluster, place, one) for one in wanted}
            for number in range(rounds):
                print(f'rbd: round {number + 1} of {rounds}', flush=True)
                for _ in range(_TIMES):
                    for one, volume in volumes.items():
                        samples.setdefault(one, []).append(_back_up(volume))
                    if _RESTORE in names:
                        samples.setdefault(_RESTORE, []).append(
                            _restore(volumes[_REFERENCE])
                        )
    finally:
        shutil.rmtree(place)
    return {name: _answer(name, samples) for name in names}


def _make(
    cluster: images.Cluster, place: pathlib.Path, name: str
) -> rbd_image.Image:
    volume = rbd_image.Image(
        *(cluster, place, name, sparse.SIZES[name]),
        sparse.pieces(_BASE, _FILLED),
    )
    volume.make_base()
    _change(volume)
    return volume


def _change(volume: rbd_image.Image) -> None:
    volume.write(sparse.pieces(_OTHER, extents.CHANGES))


def _back_up(volume: rbd_image.Image) -> contest.Figures:
    """Store what changed since the base, whatever was stored since."""
    return _job(volume, 'next')


def _restore(volume: rbd_image.Image) -> contest.Figures:
    """Take back what changed, and change it again."""
    figures = _job(volume, 'restore')
    volume.check(sparse.pieces(_BASE, _FILLED))
    _change(volume)
    return figures


def _job(volume: rbd_image.Image, job: str) -> contest.Figures:
    figures = volume.run(job)
    taken = figures.pop('engine')
    if taken['chunks_changed'] * data.CHUNK != _CHANGED:
        raise process.Failure(
            f'{taken["chunks_changed"]} chunks were stored, or written, of '
            f'{_CHANGED} bytes that changed'
        )
    return {**figures, **taken, 'changed_bytes': _CHANGED}


def _answer(
    name: str, samples: dict[str, list[contest.Figures]]
) -> contest.Answer:
    if name == _RESTORE:
        return _restored(samples[_RESTORE])
    ours, reference = samples[NAMES[name]], samples[_REFERENCE]
    alone = NAMES[name] == _REFERENCE
    read = contest.ratio(
        [one['read_bytes'] for one in ours],
        [one['changed_bytes'] for one in ours],
    )
    return {
        'title': 'second backup of an image in Ceph, forty changed runs of '
        f'1 MiB, {NAMES[name]}',
        'rounds': len(ours),
        'figures': contest.medians(ours),
        'peers': {}
        if alone
        else {f'ours, {_REFERENCE}': contest.medians(reference)},
        'ratios': {
            'ours': {
                'read_bytes': read,
                **(
                    {}
                    if alone
                    else contest.ratios(
                        ours, reference, 'wall_seconds', 'cpu_seconds'
                    )
                ),
            }
        },
    }


def _restored(samples: list[contest.Figures]) -> contest.Answer:
    return {
        'title': 'restore in place of an image in Ceph, forty changed runs of '
        f'1 MiB, {_REFERENCE}',
        'rounds': len(samples),
        'figures': contest.medians(samples),
        'peers': {},
        'ratios': {
            'ours': {
                'written_bytes': contest.ratio(
                    [one['bytes_written'] for one in samples],
                    [one['changed_bytes'] for one in samples],
                )
            }
        },
    }
