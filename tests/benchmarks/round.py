# SPDX-License-Identifier: Apache-2.0
"""One round: everybody does the same jobs, one after the other."""

from collections.abc import Callable
import functools
import pathlib
import shutil
from typing import Any

from tests.benchmarks import cache
from tests.benchmarks import compare
from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks.peers import base
from tests.benchmarks import process
from tests.benchmarks import standings

_VOLUME = 'volume.raw'


class Round:
    """Fresh repositories, and jobs on them in any order."""

    def __init__(
        self,
        volume: data.Volume,
        directory: pathlib.Path,
        others: list[base.Peer],
    ) -> None:
        self._volume = volume
        self._directory = directory
        self._others = others
        self._repository = directory / 'ebackup'
        self._input = directory / 'input' / _VOLUME
        self._restored = directory / 'restored'
        self._image = ''
        self._full: standings.Turn | None = None
        self.clean()
        self._input.parent.mkdir(parents=True)
        for peer in others:
            peer.prepare()

    def clean(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def run(self, job: str) -> standings.Turn:
        """What everybody took for it."""
        if self._full is None:
            self._full = self._back_up('full', self._volume.path, [])
        if job == 'full':
            return self._full
        if job == 'unchanged':
            return self._back_up(job, self._volume.path, ['-'])
        if job == 'changed-1pct':
            return self._back_up(
                job, self._volume.changed_path, [self._volume.changed_chunks]
            )
        return self._restore(job)

    def _back_up(
        self,
        job: str,
        path: pathlib.Path,
        compressed: list[pathlib.Path | str],
    ) -> standings.Turn:
        """:param compressed: which chunks, as kernels.py takes it"""
        # By one name, so that nobody takes it for another volume.
        self._input.unlink(missing_ok=True)
        self._input.hardlink_to(path)

        def ours() -> dict[str, Any]:
            base_image = [self._image] if self._image else []
            answer = process.run(
                'engine', 'backup', self._repository, self._input, *base_image
            )
            self._image = self._image or answer['image']
            return answer

        turn = self._between_kernels(
            lambda: cache.warm(self._input),
            lambda: self._stored(self._repository, ours),
            ['backup', self._input, *compressed],
        )
        for peer in self._doing(job):
            cache.warm(self._input)
            cache.settle()
            turn[peer.name] = self._stored(
                peer.repository,
                functools.partial(_measure, peer.back_up(self._input, job)),
            )
        return turn

    def _restore(self, job: str) -> standings.Turn:
        def ours() -> dict[str, Any]:
            # As Cinder hands a file over: there, and empty.
            (self._restored / _VOLUME).touch()
            return process.run(
                'engine',
                'restore',
                self._repository,
                self._restored / _VOLUME,
                self._image,
            )

        turn = self._between_kernels(
            lambda: cache.warm(self._repository),
            lambda: self._written(ours),
            ['restore', self._volume.path, self._directory],
        )
        for peer in self._doing(job):
            cache.warm(peer.repository)
            cache.settle()
            command = peer.restore('full', _VOLUME, self._restored)
            turn[peer.name] = self._written(
                functools.partial(_measure, command)
            )
        return turn

    def _doing(self, job: str) -> list[base.Peer]:
        return [peer for peer in self._others if job in peer.jobs]

    def _between_kernels(
        self,
        prepare: Callable[[], None],
        ours: Callable[[], contest.Figures],
        arguments: list[pathlib.Path | str],
    ) -> standings.Turn:
        prepare()
        before = process.run('kernels', *arguments)
        prepare()
        cache.settle()
        figures = ours()
        prepare()
        after = process.run('kernels', *arguments)
        by_kernel = {
            kernel: (before[kernel] + after[kernel]) / 2
            for kernel in before
            if kernel != 'process'
        }
        return {
            'ours': figures,
            'kernels': {
                'cpu_seconds': sum(by_kernel.values()),
                'by_kernel': by_kernel,
            },
        }

    def _stored(
        self, repository: pathlib.Path, work: Callable[[], dict[str, Any]]
    ) -> contest.Figures:
        before = cache.size(repository)
        answer = work()
        return {
            **answer.pop('process'),
            'stored_bytes': cache.size(repository) - before,
            'flush_seconds': cache.flush(repository),
            **_engine(answer),
        }

    def _written(self, work: Callable[[], dict[str, Any]]) -> contest.Figures:
        """A restore that is not right has no speed."""
        shutil.rmtree(self._restored, ignore_errors=True)
        self._restored.mkdir()
        answer = work()
        flushed = cache.flush(self._restored)
        compare.same(self._volume.path, self._restored / _VOLUME)
        shutil.rmtree(self._restored)
        return {
            **answer.pop('process'),
            'flush_seconds': flushed,
            **_engine(answer),
        }


def _measure(command: process.Command) -> dict[str, Any]:
    return {'process': process.measure(command).figures()}


def _engine(answer: dict[str, Any]) -> contest.Figures:
    """What the engine says of itself; nothing of anybody else."""
    if 'wall' not in answer:
        return {}
    return {
        'engine': {
            'wall_seconds': answer['wall'],
            'cpu_seconds': answer['cpu'],
            **answer['statistics'],
        }
    }
