# SPDX-License-Identifier: Apache-2.0
"""Once cinder-backup is gone, nobody touches the volumes that it had.

Cinder gives them to others as soon as it is back, and tells nobody.
"""

import os
import signal
import subprocess
import time

from tests.functional import base
from tests.functional import fault_case

MIB = base.MIB
# Seconds. The lock of a process that was killed is gone at once; the rest is
# the report, the tests' looking, and a machine that has other things to do.
AT_ONCE = 7


class CinderGoneTestCase(fault_case.FaultTestCase):
    """Restores to another volume, so that much has to be written there."""

    def setUp(self) -> None:
        super().setUp()
        # A chunk in each MiB, so that writing goes on to the end.
        for number in range(base.GIB // MIB):
            self.write(self.volume, number * MIB, os.urandom(512))
        self.digest = self.sha256(self.volume)

    def restore_is_running(self) -> str:
        """Begin to restore to self.target; return the job."""
        self.source = self.backup(self.volume)
        self.target = self.create_volume()
        self.slow()
        self.start_restore(self.source, self.target)
        return self.wait_for_progress(self.source, 'restore')['id']

    def backup_is_running(self) -> str:
        """Begin to back self.volume up; return the job."""
        self.slow()
        self.source = self.start_backup(self.volume)
        return self.wait_for_progress(self.source, 'backup')['id']

    def kill(self) -> float:
        """End cinder-backup with all that it started; return when."""
        self.addCleanup(self.lab.run, 'up')
        os.killpg(self.process('cinder-backup'), signal.SIGKILL)
        return time.monotonic()

    def stopped(self, job_id: str, kind: str, since: float) -> float:
        """Wait for the job's end; return the seconds that it took."""
        ended = self.wait_for_job(job_id)
        seconds = time.monotonic() - since
        self.assertEqual('failed', ended['state'])
        self.assertEqual(kind, ended['error']['kind'], ended)
        self.assertTrue(ended['error']['retryable'])
        return seconds

    def wait_until_it_waits(self, job_id: str) -> None:
        """Return when the proxy has stopped, for want of a heartbeat."""
        since = time.monotonic()
        self.wait_for(
            lambda: self.job(job_id)['state'] == 'pending', 'a job that waits'
        )
        self.assertLess(time.monotonic() - since, self.heartbeat_limit())

    def written(self) -> tuple[int, str]:
        """Return what changes whenever the target is written."""
        path = self.volume_path(self.target)
        return path.stat().st_mtime_ns, self.sha256(self.target)

    def target_can_be_restored_to_again(self) -> None:
        self.wait_for_backup(self.source, 'available')
        self.wait_for_volume('error_restoring', volume=self.target)
        self.admin.block_storage.reset_volume_status(
            self.target, 'available', 'detached', 'none'
        )
        self.restore(self.source, self.target)
        self.assertEqual(self.digest, self.sha256(self.target))

    def test_killed_in_a_restore(self):
        job = self.restore_is_running()
        seconds = self.stopped(job, 'driver-lost', self.kill())
        self.assertLess(seconds, AT_ONCE)
        left = self.written()
        self.assertNotEqual(self.digest, left[1])
        self.all_up_at_full_speed()
        self.wait_for_volume('error_restoring', volume=self.target)
        self.assertEqual(left, self.written())
        self.target_can_be_restored_to_again()

    def test_killed_in_a_backup(self):
        job = self.backup_is_running()
        seconds = self.stopped(job, 'driver-lost', self.kill())
        self.assertLess(seconds, AT_ONCE)
        self.assertEqual('error', self.image(self.source)['state'])
        self.all_up_at_full_speed()
        self.wait_for_backup(self.source, 'error')
        self.wait_for_volume('available')
        self.next_backup_is_right()

    def test_worker_killed_and_replaced_at_once(self):
        if not self.lab.separate:
            self.skipTest('all of Cinder is one process here')
        job = self.restore_is_running()
        parent = self.process('cinder-backup')
        [worker] = self._children(parent)
        os.kill(worker, signal.SIGKILL)
        # Its parent, of which neither systemd nor tools/lab notices anything,
        # has a new one within a second.
        self.wait_for_volume('error_restoring', volume=self.target)
        mtime, _ = self.written()
        self.stopped(job, 'driver-lost', time.monotonic())
        self.assertEqual(mtime, self.written()[0])
        self.all_up_at_full_speed()
        self.target_can_be_restored_to_again()
        self.assertEqual(parent, self.process('cinder-backup'))

    def _children(self, parent: int) -> list[int]:
        listed = subprocess.run(
            ['ps', '-o', 'pid=', '--ppid', str(parent)],
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        return [int(number) for number in listed.split()]

    def test_frozen_in_a_restore(self):
        job = self.restore_is_running()
        frozen = time.monotonic()
        thaw = self.freeze('cinder-backup')
        # It holds the volume as long as it is there: only beats are missing.
        self.wait_until_it_waits(job)
        left = self.written()
        seconds = self.stopped(job, 'heartbeat-lost', frozen)
        self.assertLess(seconds, self.resume_limit())
        thaw()
        # It finds its job ended, and says so.
        self.wait_for_volume('error_restoring', volume=self.target)
        self.assertEqual(left, self.written())
        self.all_up_at_full_speed()
        self.target_can_be_restored_to_again()

    def test_frozen_in_a_backup(self):
        job = self.backup_is_running()
        frozen = time.monotonic()
        thaw = self.freeze('cinder-backup')
        seconds = self.stopped(job, 'heartbeat-lost', frozen)
        self.assertLess(seconds, self.resume_limit())
        thaw()
        found = self.wait_for_backup(self.source, 'error')
        self.assertTrue(found.fail_reason.startswith('No heartbeat from'))
        self.wait_for_volume('available')
        self.all_up_at_full_speed()
        self.next_backup_is_right()

    def test_frozen_for_a_while_in_a_backup(self):
        job = self.backup_is_running()
        thaw = self.freeze('cinder-backup')
        self.wait_until_it_waits(job)
        thaw()
        self.all_up_at_full_speed()
        self.wait_for_backup(self.source, 'available')
        self.assertEqual('succeeded', self.job(job)['state'])
        self.assertEqual(self.digest, self.sha256(self.restore(self.source)))
