# SPDX-License-Identifier: Apache-2.0
"""qemu-img: each backup a compressed file of its own, nothing shared."""

import pathlib

from tests.benchmarks.peers import debian
from tests.benchmarks import process


class QemuImg:
    name = 'qemu-img'
    options = 'convert -c -m 8 -W -O qcow2 -o compression_type=zstd'
    jobs = frozenset({'full', 'restore'})
    verifies = False

    def __init__(self, directory: pathlib.Path) -> None:
        self.home = directory / 'qemu-img'
        self.repository = self.home

    def provide(self) -> str:
        program = debian.provide('qemu-img', 'qemu-utils')
        return debian.first_line(program, '--version')

    def prepare(self) -> None:
        self.home.mkdir()

    def back_up(self, volume: pathlib.Path, image: str) -> process.Command:
        return process.Command(
            [
                *('qemu-img', 'convert', '-c', '-m', '8', '-W'),
                *('-f', 'raw', '-O', 'qcow2', '-o', 'compression_type=zstd'),
                *(volume, self._path(image)),
            ]
        )

    def restore(
        self, image: str, volume: str, directory: pathlib.Path
    ) -> process.Command:
        return process.Command(
            [
                *('qemu-img', 'convert', '-m', '8', '-W'),
                *('-f', 'qcow2', '-O', 'raw'),
                *(self._path(image), directory / volume),
            ]
        )

    def _path(self, image: str) -> pathlib.Path:
        return self.repository / f'{image}.qcow2'
