# SPDX-License-Identifier: Apache-2.0
"""Real block devices for tests."""

import os
import subprocess

import fixtures

from tests import environment


class LoopDevice(fixtures.Fixture):
    """Attributes: path (/dev/loopN), backing (its file)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        if os.geteuid():
            environment.lacks('loop devices need root')
        if not os.path.exists('/dev/loop-control'):
            environment.lacks('the kernel has no loop devices')
        self._size = size

    def _setUp(self) -> None:
        directory = self.useFixture(fixtures.TempDir()).path
        self.backing = os.path.join(directory, 'backing')
        with open(self.backing, 'wb') as file:
            file.truncate(self._size)
        self.path = _run('losetup', '--show', '--find', self.backing)
        self.addCleanup(_run, 'losetup', '--detach', self.path)


class Mounted(fixtures.Fixture):
    """A new ext4 file system on a device, mounted."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def _setUp(self) -> None:
        directory = self.useFixture(fixtures.TempDir()).path
        _run('mkfs.ext4', '-q', self._device)
        _run('mount', self._device, directory)
        self.addCleanup(_run, 'umount', directory)


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()
