# SPDX-License-Identifier: Apache-2.0
"""restic: chunks by content, encrypted; its zstd has no levels to choose."""

import pathlib

from tests.benchmarks.peers import base
from tests.benchmarks.peers import debian
from tests.benchmarks import process


class Restic:
    name = 'restic'
    options = 'repository version 2, --compression auto'
    jobs = base.ALL_JOBS
    verifies = True

    def __init__(self, directory: pathlib.Path) -> None:
        self.home = directory / 'restic'
        self.repository = self.home / 'repository'
        self._environment = {
            'RESTIC_REPOSITORY': str(self.repository),
            'RESTIC_PASSWORD': 'benchmark',
            'RESTIC_CACHE_DIR': str(self.home / 'cache'),
        }

    def provide(self) -> str:
        program = debian.provide('restic', 'restic')
        return debian.first_line(program, 'version')

    def prepare(self) -> None:
        self.home.mkdir()
        process.measure(self._command('init', '--repository-version', '2'))

    def back_up(self, volume: pathlib.Path, image: str) -> process.Command:
        return self._command(
            *('backup', '--quiet', '--tag', image, volume.name),
            directory=volume.parent,
        )

    def restore(
        self, image: str, volume: str, directory: pathlib.Path
    ) -> process.Command:
        return self._command(
            'restore', 'latest', '--tag', image, '--target', str(directory)
        )

    def _command(
        self, *arguments: str, directory: pathlib.Path | None = None
    ) -> process.Command:
        return process.Command(
            ['restic', *arguments], directory, self._environment
        )
