# SPDX-License-Identifier: Apache-2.0
"""Volumes that others use while they are backed up."""

import os

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
# Bytes per second: some seconds for each volume.
RATE = 96 * MIB


class ConcurrencyTestCase(ebackup_case.EBackupTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        ebackup_case.throttle_class(cls, RATE)

    def filled(self, volume_type: str = 'file') -> str:
        """Return a volume of which there is enough to be read."""
        volume = self.create_volume(1, volume_type)
        data = os.urandom(24 * MIB)
        for offset in range(0, base.GIB, 128 * MIB):
            self.write(volume, offset, data)
        self.write(volume, base.GIB - MIB, os.urandom(MIB))
        return volume

    def check_volume_in_use(self, volume_type: str) -> None:
        volume = self.filled(volume_type)
        digest = self.sha256(volume)
        self.use_volume(volume)
        backup = self.start_backup(volume, force=True)

        def running():
            jobs = self.jobs(backup, 'backup')
            return jobs[0]['id'] if jobs and jobs[0]['started_at'] else None

        job = self.wait_for(running, 'the backup is running')
        # Above all where it has not come to yet.
        for offset in 0, base.GIB // 2, base.GIB - MIB:
            self.write(volume, offset, os.urandom(MIB))
        self.assertEqual('running', self.job(job)['state'])
        self.wait_for_backup(backup, 'available')
        self.assertEqual(digest, self.sha256(self.restore(backup)))
        self.assertNotEqual(digest, self.sha256(volume))

    def test_volume_in_use_of_which_a_snapshot_is_read(self):
        self.check_volume_in_use('block')

    def test_volume_in_use_of_which_a_clone_is_read(self):
        self.check_volume_in_use('file')

    def test_two_backups_of_one_volume_at_once(self):
        volume = self.filled()
        snapshots, digests = [], []
        for _ in range(2):
            self.write(volume, 3 * MIB, os.urandom(MIB))
            digests.append(self.sha256(volume))
            snapshots.append(self.create_snapshot(volume))
        started = [
            self.start_backup(volume, snapshot_id=snapshot)
            for snapshot in snapshots
        ]
        for backup in started:
            self.wait_for_backup(backup, 'available')
        first, second = (self.jobs(b, 'backup')[0] for b in started)
        self.assertLess(first['started_at'], second['finished_at'])
        self.assertLess(second['started_at'], first['finished_at'])
        generations = {self.image(b)['generation'] for b in started}
        self.assertEqual(2, len(generations))
        for digest, backup in zip(digests, started, strict=True):
            self.assertEqual(digest, self.sha256(self.restore(backup)))
