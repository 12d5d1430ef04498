# SPDX-License-Identifier: Apache-2.0
"""Services that go away in the middle of a job, and come back."""

import os
import time

from tests.functional import base
from tests.functional import ebackup_case
from tests.functional import fault_case

MIB = base.MIB
SLOW = 64 * MIB
# What is read again, at most: a stage of three leaves, and one that the only
# worker is ahead.
AGAIN = 128 * MIB


class InterruptionTestCase(fault_case.FaultTestCase):
    def setUp(self) -> None:
        super().setUp()
        for offset in range(0, base.GIB, 64 * MIB):
            self.write(self.volume, offset, os.urandom(MIB))
        self.digest = self.sha256(self.volume)

    def slow(self, rate: int = SLOW) -> None:
        self._throttle = self.useFixture(
            ebackup_case.Throttle(
                self.lab,
                rate,
                checkpoint_size=AGAIN,
                workers=1,
                shutdown_timeout=1,
            )
        )

    def kill(self) -> None:
        self.end('kill', 'ebackup-proxy')
        self.all_up_at_full_speed()

    def start(self, rate: int = SLOW) -> tuple[str, str]:
        """A backup that is slow, past its first checkpoint; and its job."""
        self.slow(rate)
        backup = self.start_backup(self.volume)

        def advanced():
            jobs = self.jobs(backup, 'backup')
            done = jobs and jobs[0]['progress'].get('bytes_done')
            return jobs[0]['id'] if done and done > AGAIN else None

        return backup, self.wait_for(advanced, 'a checkpoint')

    def ends_well(self, backup: str, job_id: str) -> int:
        """Return how much was read again."""
        self.wait_for_backup(backup, 'available')
        job = self.job(job_id)
        self.assertEqual('succeeded', job['state'])
        self.assertEqual(2, job['runs'])
        result = job['result']
        self.assertEqual(base.GIB, result['bytes_read'])
        self.assertLessEqual(result['bytes_reread'], AGAIN)
        self.assertEqual(self.digest, self.sha256(self.restore(backup)))
        return result['bytes_reread']

    def test_backup_goes_on_after_its_proxy_was_killed(self):
        # It is seconds from the next checkpoint, and has told of more than it
        # had read at the last one.
        backup, job = self.start(8 * MIB)
        self.kill()
        self.assertLess(0, self.ends_well(backup, job))

    def test_backup_goes_on_after_its_proxy_was_restarted(self):
        backup, job = self.start()
        self.lab.run('restart', self.lab.service('ebackup-proxy'))
        self.ends_well(backup, job)

    def test_backup_goes_on_after_the_service_hung(self):
        backup, job = self.start()
        thaw = self.freeze('ebackup-api')
        # Nobody can be asked meanwhile.
        time.sleep(self.configuration().server.heartbeat_timeout + 1)
        thaw()
        self.ends_well(backup, job)

    def test_restore_begins_again_after_its_proxy_was_killed(self):
        backup = self.backup(self.volume)
        self.write(self.volume, 0, os.urandom(8 * MIB))
        self.slow()
        self.start_restore(backup, self.volume)
        job = self.wait_for_progress(backup, 'restore')
        self.kill()
        fetch = self.demo.block_storage.get_volume
        self.wait_for_status(fetch, self.volume, 'available')
        self.assertEqual(2, self.job(job['id'])['runs'])
        self.assertEqual(self.digest, self.sha256(self.volume))
