# SPDX-License-Identifier: Apache-2.0
"""borg, as one would use it for volumes: blocks of 4 MiB, zstd level 1."""

import pathlib

from tests.benchmarks.peers import base
from tests.benchmarks.peers import debian
from tests.benchmarks import process


class Borg:
    name = 'borg'
    options = 'no encryption, --chunker-params fixed,4194304, zstd,1'
    jobs = base.ALL_JOBS
    verifies = True

    def __init__(self, directory: pathlib.Path) -> None:
        self.home = directory / 'borg'
        self.repository = self.home / 'repository'
        self._environment = {
            'BORG_BASE_DIR': str(self.home / 'base'),
            'BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK': 'yes',
        }

    def provide(self) -> str:
        program = debian.provide('borg', 'borgbackup')
        return debian.first_line(program, '--version')

    def prepare(self) -> None:
        self.home.mkdir()
        process.measure(
            self._command('init', '--encryption', 'none', str(self.repository))
        )

    def back_up(self, volume: pathlib.Path, image: str) -> process.Command:
        return self._command(
            *('create', '--chunker-params', 'fixed,4194304'),
            *('--compression', 'zstd,1'),
            *(f'{self.repository}::{image}', volume.name),
            directory=volume.parent,
        )

    def restore(
        self, image: str, volume: str, directory: pathlib.Path
    ) -> process.Command:
        return self._command(
            *('extract', '--sparse', f'{self.repository}::{image}'),
            directory=directory,
        )

    def _command(
        self, *arguments: str, directory: pathlib.Path | None = None
    ) -> process.Command:
        return process.Command(
            ['borg', *arguments], directory, self._environment
        )
