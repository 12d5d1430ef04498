# SPDX-License-Identifier: Apache-2.0
"""Volumes that Cinder exports to the proxy, which attaches them by os-brick.

The lab's back end "block" exports loop devices, by os-brick's connector
"local". For other tests the proxy reads what Cinder itself has attached.
"""

import json
import os
import subprocess
from typing import Any
import unittest

from tests.functional import base
from tests.functional import connector_case
from tests.functional import fault_case
from tests.functional import lab

MIB = base.MIB
# As of the lab's volume driver, in each connection.
SECRET = 'lab-secret-of-connections'


class ConnectorTestCase(
    connector_case.ConnectorCase, fault_case.FaultTestCase
):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if 'block' not in lab.current().volume_types:
            raise unittest.SkipTest('the lab has no loop devices')
        helper = connector_case.Helper()
        helper.setUp()
        cls.addClassCleanup(helper.cleanUp)

    def devices(self) -> list[str]:
        """Files of this lab's volumes that are block devices now."""
        listed = subprocess.run(
            ['losetup', '--json', '--list', '--output', 'NAME,BACK-FILE'],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        found: list[dict[str, Any]] = []
        if listed.strip():
            found = json.loads(listed)['loopdevices']
        volumes = f'{self.lab.directory}/volumes/'
        return [
            device['back-file']
            for device in found
            if device['back-file'].startswith(volumes)
        ]

    def assert_nothing_left(self, attached: int | None = None) -> None:
        """Nothing is attached or exported; the proxy had attached so much."""
        self.wait_for(lambda: not self.devices(), 'no device is left')
        self.assertEqual([], self.records())
        if attached is not None:
            self.assert_attached(attached)


class TestConnector(ConnectorTestCase):
    def test_backups_and_restores(self) -> None:
        available = self.backup(self.volume)
        snapshot = self.create_snapshot(self.volume)
        of_snapshot = self.backup(self.volume, snapshot_id=snapshot)
        self.assert_nothing_left(2)
        self.write(self.volume, 40 * MIB, os.urandom(MIB))
        changed = self.sha256(self.volume)
        attachment = self.use_volume(self.volume)
        in_use = self.backup(self.volume, force=True)
        self.release_volume(self.volume, attachment)
        self.assert_nothing_left(3)
        for backup, digest in (
            (available, self.digest),
            (of_snapshot, self.digest),
            (in_use, changed),
        ):
            self.assertEqual(digest, self.sha256(self.restore(backup)))
        self.restore(available, self.volume)
        self.assertEqual(self.digest, self.sha256(self.volume))
        self.assert_nothing_left(7)

    def test_connections_are_secret(self) -> None:
        self.restore(self.backup(self.volume), self.volume)
        self.assert_nothing_left(2)
        self.assert_nowhere(SECRET)


class TestInterruption(ConnectorTestCase):
    def exported(self, job: dict[str, Any]) -> list[str]:
        """Ids of what Cinder may export for a job."""
        return [one['id'] for one in self.job(job['id'])['exported']]

    def listed(self) -> set[str]:
        """Ids of ended jobs for which something is left exported."""
        found = self.call('GET', '/v1/jobs?exported=true')['jobs']
        return {job['id'] for job in found}

    def test_proxy_is_killed_in_a_backup(self) -> None:
        self.slow()
        backup = self.start_backup(self.volume)
        job = self.wait_for_progress(backup, 'backup')
        [record] = self.records()
        self.assertNotIn(SECRET, record.read_text())
        self.end('kill', 'ebackup-proxy')
        self.assertEqual([record], self.records())
        self.all_up_at_full_speed()
        self.wait_for_backup(backup, 'available')
        self.assertEqual(2, self.job(job['id'])['runs'])
        self.assert_nothing_left()
        self.assertEqual(self.digest, self.sha256(self.restore(backup)))
        self.assert_nothing_left()

    def test_cinder_backup_is_killed(self) -> None:
        kept = self.backup(self.volume)
        target = self.create_volume(volume_type='block')
        self.slow()
        backup = self.start_backup(self.volume)
        self.start_restore(kept, target)
        restore = self.wait_for_progress(kept, 'restore')
        job = self.wait_for_progress(backup, 'backup')
        self.end('kill', 'cinder-backup')
        for each in job, restore:
            ended = self.wait_for_job(each['id'])
            self.assertEqual('heartbeat-lost', ended['error']['kind'])
        self.assertEqual([], self.records())
        left = self.sha256(target)
        self.all_up_at_full_speed()
        self.wait_for_backup(backup, 'error')
        self.wait_for_volume('available')
        self.wait_for_volume('error_restoring', volume=target)
        self.assertEqual(left, self.sha256(target))
        self.assertEqual([self.volume], self.exported(job))
        self.assertEqual([target], self.exported(restore))
        self.next_backup_is_right()
        self.assertEqual([], self.exported(job))
        ended_now = f"'id': '{self.volume}'"
        left = [
            line
            for line in self.log('cinder-backup').splitlines()
            if f'was exported for job {job["id"]}' in line
        ]
        self.assertEqual(1, len(left), left)
        self.assertIn(ended_now, left[0])
        # And it is known to be ended.
        self.backup(self.volume)
        self.assertEqual(
            1,
            self.log('cinder-backup').count(
                f'was exported for job {job["id"]}'
            ),
        )
        # What was left of another volume is ended when its driver has had
        # the time for it.
        self.wait_for(
            lambda: (
                restore['id'] in self.listed() or not self.exported(restore)
            ),
            'it is listed',
        )
        self.backup(self.volume)
        self.assertEqual([], self.exported(restore))
        self.assertNotIn(restore['id'], self.listed())
        self.assert_nothing_left()
        self.admin.block_storage.reset_volume_status(
            target, 'available', 'detached', 'none'
        )
        self.restore(kept, target)
        self.assertEqual(self.digest, self.sha256(target))
        self.assert_nothing_left()

    def test_proxy_is_killed_in_a_restore(self) -> None:
        backup = self.backup(self.volume)
        self.write(self.volume, 0, os.urandom(8 * MIB))
        self.slow()
        self.start_restore(backup, self.volume)
        job = self.wait_for_progress(backup, 'restore')
        [record] = self.records()
        self.assertNotIn(SECRET, record.read_text())
        self.end('kill', 'ebackup-proxy')
        self.assertEqual([record], self.records())
        self.all_up_at_full_speed()
        self.wait_for_volume('available')
        self.assertEqual(2, self.job(job['id'])['runs'])
        self.assert_nothing_left()
        self.assertEqual(self.digest, self.sha256(self.volume))
