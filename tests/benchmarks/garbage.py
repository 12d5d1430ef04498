# SPDX-License-Identifier: Apache-2.0
"""Collection after one image of a chain was deleted.

The chains have 10 and 100 images of a volume of 1 TiB, mostly holes. In every
image the same 10 MiB are new, so the deleted one leaves the same garbage in
either; what a collection takes should not depend on the images that stay.
"""

import pathlib
import shutil
import subprocess

from tests.benchmarks import cache
from tests.benchmarks import contest
from tests.benchmarks import process
from tests.benchmarks import sparse

NAMES = {'gc-10': 10, 'gc-100': 100}
_REFERENCE = 10
_TIMES = 3  # in a round; they are short


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    place = directory / 'garbage'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    wanted = dict.fromkeys([_REFERENCE, *(NAMES[name] for name in names)])
    samples: dict[int, list[contest.Figures]] = {one: [] for one in wanted}
    try:
        chains = {number: Chain(place, number) for number in wanted}
        for number in range(rounds):
            print(f'garbage: round {number + 1} of {rounds}', flush=True)
            for _ in range(_TIMES):
                for length, chain in chains.items():
                    samples[length].append(chain.delete_one())
    finally:
        shutil.rmtree(place)
    return {name: _answer(NAMES[name], samples) for name in names}


class Chain:
    """A repository with nothing else in it; of its images none is lost."""

    def __init__(self, place: pathlib.Path, length: int) -> None:
        print(f'making a chain of {length} images', flush=True)
        self._repository = place / f'chain-{length}'
        self._copy = place / 'copy'
        volume = place / 'volume.raw'
        sparse.make(volume, sparse.SIZES['1t'], 0)
        self._images = process.run(
            'collection', 'build', self._repository, volume, str(length)
        )['images']
        volume.unlink()

    def delete_one(self) -> contest.Figures:
        """Delete the one in the middle, from a copy."""
        # Objects are never changed, so the copy may share their files.
        subprocess.run(
            ['cp', '--archive', '--link', self._repository, self._copy],
            check=True,
        )
        cache.settle()
        answer = process.run(
            *('collection', 'delete', self._copy),
            self._images[len(self._images) // 2],
        )
        shutil.rmtree(self._copy)
        if not answer['bytes_removed']:
            raise process.Failure('the collection removed nothing')
        return {
            **answer['process'],
            'wall_seconds': answer['wall'],
            'cpu_seconds': answer['cpu'],
            'read_bytes': answer['read'],
            'removed_bytes': answer['bytes_removed'],
            'removed_packs': answer['packs_removed'],
        }


def _answer(
    length: int, samples: dict[int, list[contest.Figures]]
) -> contest.Answer:
    ours, reference = samples[length], samples[_REFERENCE]
    alone = length == _REFERENCE
    return {
        'title': f'collection after 1 of {length} images of a 1 TiB volume '
        'was deleted',
        'rounds': len(ours),
        'figures': contest.medians(ours),
        'peers': {}
        if alone
        else {f'ours, {_REFERENCE} images': contest.medians(reference)},
        'ratios': {}
        if alone
        else {
            'ours': contest.ratios(
                ours, reference, 'wall_seconds', 'cpu_seconds', 'read_bytes'
            )
        },
    }
