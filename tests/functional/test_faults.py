# SPDX-License-Identifier: Apache-2.0
"""Services that are not there, or are killed in the middle for good.

Those that come back are in test_interruption.
"""

import os

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
SLOW = 32 * MIB


class FaultTestCase(ebackup_case.EBackupTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.volume = self.create_volume()
        self.write(self.volume, 0, os.urandom(8 * MIB))
        self.digest = self.sha256(self.volume)

    def slow(self) -> ebackup_case.Throttle:
        throttle: ebackup_case.Throttle = self.useFixture(
            ebackup_case.Throttle(self, SLOW)
        )
        return throttle

    def end(self, verb: str, service: str) -> None:
        """Stop or kill a service, until the test is over at the latest."""
        self.addCleanup(self.lab.run, 'up')
        self.lab.run(verb, self.lab.service(service))

    def wait_for_volume(self, *wanted: str):
        fetch = self.demo.block_storage.get_volume
        return self.wait_for_status(fetch, self.volume, *wanted)

    def next_backup_is_right(self) -> None:
        backup = self.backup(self.volume)
        self.assertEqual(self.digest, self.sha256(self.restore(backup)))
        self.collect()

    def test_service_unreachable_when_cinder_calls(self):
        self.end('stop', 'ebackup-api')
        backup = self.start_backup(self.volume)
        found = self.wait_for_backup(backup, 'error')
        self.assertRegex(
            found.fail_reason, '^Connection refused: no connection to http'
        )
        self.wait_for_volume('available')
        self.lab.run('start', self.lab.service('ebackup-api'))
        self.next_backup_is_right()

    def test_service_killed_in_a_backup_stays_away(self):
        throttle = self.slow()
        kept = self.backup(self.create_volume())
        backup = self.start_backup(self.volume)
        job = self.wait_for_progress(backup, 'backup')
        self.end('kill', 'ebackup-proxy')
        self.wait_for_backup(backup, 'error')
        self.wait_for_volume('available')
        throttle.lift()
        self.lab.run('up')
        self.assertEqual('failed', self.wait_for_job(job['id'])['state'])
        self.assertEqual('available', self.image(kept)['state'])
        self.next_backup_is_right()

    def test_service_killed_in_a_restore_stays_away(self):
        backup = self.backup(self.volume)
        throttle = self.slow()
        self.start_restore(backup, self.volume)
        job = self.wait_for_progress(backup, 'restore')
        self.end('kill', 'ebackup-proxy')
        self.wait_for_volume('error_restoring')
        throttle.lift()
        self.lab.run('up')
        self.wait_for_backup(backup, 'available')
        self.assertEqual('failed', self.wait_for_job(job['id'])['state'])
        self.admin.block_storage.reset_volume_status(
            self.volume, 'available', 'detached', 'none'
        )
        self.restore(backup, self.volume)
        self.assertEqual(self.digest, self.sha256(self.volume))
