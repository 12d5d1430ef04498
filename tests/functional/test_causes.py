# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of a backup is what Cinder's users read.

And once it is out of the way, the next backup succeeds.
"""

import os
import pathlib
import subprocess
from typing import Any

from tests import environment
from tests.functional import base
from tests.functional import fault_case
from tests.functional import lab

MIB = base.MIB
# Bytes; less than what is to be stored, and more.
SMALL, LARGE = 32 * MIB, 256 * MIB


class CauseTestCase(fault_case.FaultTestCase):
    def fails(self, cause: str, volume: str, **fields: Any) -> None:
        """Check that a backup fails, and that this is what is said first."""
        backup = self.start_backup(volume, **fields)
        found = self.wait_for_backup(backup, 'error')
        self.assertRegex(found.fail_reason, f'^{cause}')
        self.assertLessEqual(len(found.fail_reason), 255)
        self.wait_for_volume('available', volume=volume)
        self.wait_for_log('cinder-backup', found.fail_reason)

    def succeeds(self, volume: str, **fields: Any) -> str:
        """Return a backup that holds what the volume does."""
        backup = self.backup(volume, **fields)
        self.assertEqual(
            self.sha256(volume), self.sha256(self.restore(backup))
        )
        return backup


class RepositoryTestCase(CauseTestCase):
    """Backs up to a small file system that can be made read-only."""

    place: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if os.geteuid():
            environment.lacks('mounting needs root')
        current = lab.current()
        cls.place = current.directory / 'small'
        cls.place.mkdir()
        cls.addClassCleanup(cls.place.rmdir)
        _run('mount', '-t', 'tmpfs', '-o', f'size={SMALL}', 'none', cls.place)
        cls.addClassCleanup(_run, 'umount', cls.place)
        extra = current.directory / 'etc/ebackup.d/small.conf'
        extra.write_text(
            '[repository]\nminimum_free = 0\n[proxy]\nattached_roots = /dev\n'
        )
        cls.addClassCleanup(current.run, 'up')
        cls.addClassCleanup(extra.unlink)
        # Where a service has mounts of its own, it sees this one from now on.
        current.run('up')

    def setUp(self) -> None:
        super().setUp()
        self.name = base.unique('small')
        self.repository = self.place / self.name
        self.repository.mkdir(mode=0o700)
        owner = (self.lab.directory / 'repository').stat()
        os.chown(self.repository, owner.st_uid, owner.st_gid)
        url = f'file://{self.repository}'
        job = self.call(
            'POST',
            '/v1/repositories',
            repository={'name': self.name, 'url': url},
        )['job']
        self.assertEqual('succeeded', self.wait_for_job(job['id'])['state'])
        # Registered last, so done before the backups are removed.
        self.addCleanup(self._remount, f'size={LARGE}', 'rw')

    def _remount(self, *options: str) -> None:
        _run('mount', '-o', ','.join(['remount', *options]), self.place)

    def _used(self) -> int:
        files = self.repository.rglob('*')
        return sum(path.stat().st_size for path in files if path.is_file())

    def test_full_repository(self):
        self._remount(f'size={SMALL}')
        self.write(self.volume, 0, os.urandom(2 * SMALL))
        before = self._used()
        self.fails(
            'No space left on device when writing',
            self.volume,
            container=self.name,
        )
        self.wait_for(lambda: self._used() < before + MIB, 'room again')
        self._remount(f'size={LARGE}')
        self.succeeds(self.volume, container=self.name)

    def test_read_only_repository(self):
        self._remount(f'size={LARGE}')
        kept = self.succeeds(self.volume, container=self.name)
        self._remount('ro')
        self.fails(
            'Read-only file system when writing',
            self.volume,
            container=self.name,
        )
        self.assertEqual(self.digest, self.sha256(self.restore(kept)))
        self._remount('rw')
        self.succeeds(self.volume, container=self.name)

    def test_missing_repository(self):
        kept = self.succeeds(self.volume, container=self.name)
        elsewhere = self.repository.with_suffix('.elsewhere')
        self.repository.rename(elsewhere)
        self.fails(
            "The repository's directory is missing or no directory: "
            f'{self.repository};',
            self.volume,
            container=self.name,
        )
        elsewhere.rename(self.repository)
        self.assertEqual(self.digest, self.sha256(self.restore(kept)))
        self.succeeds(self.volume, container=self.name)

    def test_repository_that_nobody_knows(self):
        self.fails(
            "There is no repository 'nowhere'",
            self.volume,
            container='nowhere',
        )

    def test_volume_outside_the_roots(self):
        volume = self.create_volume(volume_type='file')
        path = self.volume_path(volume)
        self.fails(f'{path} is outside the directories', volume)


class VolumeTestCase(CauseTestCase):
    def test_volume_that_the_proxy_may_not_open(self):
        if os.geteuid():
            environment.lacks('the lab is not of root, so all is of its user')
        volume = self.create_volume(volume_type='file')
        path = self.volume_path(volume)
        group = path.stat().st_gid
        os.chown(path, 0, 0)
        self.fails(f'the proxy may not open {path}', volume)
        os.chown(path, 0, group)
        self.succeeds(volume)


def _run(*command: str | os.PathLike[str]) -> None:
    subprocess.run(command, check=True)
