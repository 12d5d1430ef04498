# SPDX-License-Identifier: Apache-2.0
"""Runs benchmarks in rounds, engine and kernels taking turns.

CPU seconds of one machine change with what its neighbours do, so only what was
measured in the same minute is compared: the kernels run before and after each
job of the engine, on the same bytes, and their mean counts; of the rounds'
ratios the median.
"""

from collections.abc import Callable
import pathlib
import shutil
import statistics
from typing import Any

from tests.benchmarks import data
from tests.benchmarks import process

JOBS = ('full', 'unchanged', 'changed-1pct', 'restore')
NAMES = {
    **{job: ('real', job) for job in JOBS},
    **{f'random-{job}': ('random', job) for job in JOBS},
}

# Of one run: {'engine': …, 'kernels': {kernel: CPU seconds}}
Sample = dict[str, Any]


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, dict[str, Any]]:
    """Name -> {figures, peers, ratios}, as report() makes them."""
    directory.mkdir(parents=True, exist_ok=True)
    answers: dict[str, dict[str, Any]] = {}
    for kind in data.KINDS:
        wanted = [name for name in names if NAMES[name][0] == kind]
        if not wanted:
            continue
        volume = data.Volume(directory, kind, size)
        volume.prepare()
        samples: dict[str, list[Sample]] = {name: [] for name in wanted}
        for number in range(rounds):
            print(f'{kind}: round {number + 1} of {rounds}', flush=True)
            one = Round(volume, directory)
            try:
                for name in wanted:
                    samples[name].append(one.run(NAMES[name][1]))
            finally:
                one.clean()
        for name in wanted:
            answers[name] = report(volume, samples[name])
    return answers


class Round:
    """A fresh repository, and jobs on it in any order."""

    def __init__(self, volume: data.Volume, directory: pathlib.Path) -> None:
        self._volume = volume
        self._directory = directory
        self._repository = directory / 'repository'
        self._restored = directory / 'restored.raw'
        self._image: str | None = None
        self._full: Sample | None = None
        self.clean()

    def run(self, job: str) -> Sample:
        jobs: dict[str, Callable[[], Sample]] = {
            'full': self._run_full,
            'unchanged': self._run_unchanged,
            'changed-1pct': self._run_changed,
            'restore': self._run_restore,
        }
        return jobs[job]()

    def clean(self) -> None:
        shutil.rmtree(self._repository, ignore_errors=True)
        self._restored.unlink(missing_ok=True)

    def _run_full(self) -> Sample:
        if self._full is None:
            warm(self._volume.path)
            self._full = _between_kernels(
                ('backup', self._volume.path),
                lambda: process.run(
                    'engine', 'backup', self._repository, self._volume.path
                ),
            )
            self._image = self._full['engine']['image']
        return self._full

    def _base(self) -> str:
        if self._image is None:
            self._run_full()
        assert self._image is not None
        return self._image

    def _run_unchanged(self) -> Sample:
        return self._incremental(self._volume.path, '-')

    def _run_changed(self) -> Sample:
        return self._incremental(
            self._volume.changed_path, self._volume.changed_chunks
        )

    def _incremental(
        self, path: pathlib.Path, compressed: pathlib.Path | str
    ) -> Sample:
        base = self._base()
        warm(path)
        return _between_kernels(
            ('backup', path, compressed),
            lambda: process.run(
                'engine', 'backup', self._repository, path, base
            ),
        )

    def _run_restore(self) -> Sample:
        base = self._base()

        def restore() -> dict[str, Any]:
            for path in self._repository.rglob('d-*'):
                warm(path)
            # As Cinder hands a file over: there, and empty.
            self._restored.write_bytes(b'')
            return process.run(
                'engine', 'restore', self._repository, self._restored, base
            )

        sample = _between_kernels(
            ('restore', self._volume.path, self._directory), restore
        )
        self._compare()
        return sample

    def _compare(self) -> None:
        """A restore that is not right has no speed."""
        with (
            self._volume.path.open('rb') as expected,
            self._restored.open('rb') as found,
        ):
            while piece := expected.read(data.MIB):
                if piece != found.read(data.MIB):
                    raise RuntimeError(
                        f'{self._restored} differs before byte '
                        f'{expected.tell()}'
                    )


def warm(path: pathlib.Path) -> None:
    """Into the page cache, so that every job finds the same."""
    buffer = bytearray(data.MIB)
    with path.open('rb', buffering=0) as file:
        while file.readinto(buffer):
            pass


def _between_kernels(
    arguments: tuple[str | pathlib.Path, ...],
    engine: Callable[[], dict[str, Any]],
) -> Sample:
    before = process.run('kernels', *arguments)
    measured = engine()
    after = process.run('kernels', *arguments)
    return {
        'engine': measured,
        'kernels': {
            kernel: (before[kernel] + after[kernel]) / 2
            for kernel in before
            if kernel != 'anonymous'
        },
    }


def report(volume: data.Volume, samples: list[Sample]) -> dict[str, Any]:
    """Medians over the rounds; seconds, bytes, and MB/s of volume size."""
    engines = [sample['engine'] for sample in samples]
    kernels = [sample['kernels'] for sample in samples]
    sums = [sum(each.values()) for each in kernels]
    return {
        'figures': {
            'mb_per_second': statistics.median(
                volume.size / 1e6 / engine['wall'] for engine in engines
            ),
            'wall_seconds': _median(engines, 'wall'),
            'cpu_seconds': _median(engines, 'cpu'),
            'peak_anonymous_bytes': max(e['anonymous'] for e in engines),
            'volume_bytes': volume.size,
            **engines[-1]['statistics'],
        },
        'peers': {
            'kernels': {
                'cpu_seconds': statistics.median(sums),
                'by_kernel': {
                    name: _median(kernels, name) for name in kernels[0]
                },
            }
        },
        'ratios': {
            'cpu_seconds_to_kernels': statistics.median(
                engine['cpu'] / total
                for engine, total in zip(engines, sums, strict=True)
            ),
            'rounds': [
                engine['cpu'] / total
                for engine, total in zip(engines, sums, strict=True)
            ],
        },
    }


def _median(samples: list[dict[str, float]], name: str) -> float:
    return statistics.median(sample[name] for sample in samples)
