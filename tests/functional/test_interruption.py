# SPDX-License-Identifier: Apache-2.0
"""Services that go away in the middle of a job, and come back."""

import os
import time

from tests.functional import base
from tests.functional import ebackup_case
from tests.functional import fault_case

MIB = base.MIB
SLOW = 64 * MIB


class InterruptionTestCase(fault_case.FaultTestCase):
    def setUp(self) -> None:
        super().setUp()
        for offset in range(0, base.GIB, 64 * MIB):
            self.write(self.volume, offset, os.urandom(MIB))
        self.digest = self.sha256(self.volume)

    def slow(self) -> None:
        self.useFixture(
            ebackup_case.Throttle(
                self.lab, SLOW, checkpoint_size=64 * MIB, shutdown_timeout=1
            )
        )

    def kill(self) -> None:
        self.addCleanup(self.lab.run, 'up')
        self.lab.run('kill', self.lab.service('ebackup-proxy'))
        self.lab.run('up')

    def start(self) -> tuple[str, str]:
        """A backup that is slow, past its first checkpoint; and its job."""
        self.slow()
        backup = self.start_backup(self.volume)

        def advanced():
            jobs = self.jobs(backup, 'backup')
            done = jobs and jobs[0]['progress'].get('bytes_done')
            return jobs[0]['id'] if done and done > 128 * MIB else None

        return backup, self.wait_for(advanced, 'a checkpoint')

    def ends_well(self, backup: str, job_id: str) -> None:
        self.wait_for_backup(backup, 'available')
        job = self.job(job_id)
        self.assertEqual('succeeded', job['state'])
        self.assertEqual(2, job['runs'])
        result = job['result']
        self.assertEqual(base.GIB, result['bytes_read'])
        # A stage, and a leaf by each of two workers.
        self.assertLessEqual(result['bytes_reread'], 128 * MIB)
        self.assertEqual(self.digest, self.sha256(self.restore(backup)))

    def test_backup_goes_on_after_its_proxy_was_killed(self):
        backup, job = self.start()
        self.kill()
        self.ends_well(backup, job)

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
