# SPDX-License-Identifier: Apache-2.0
"""Ceph refuses the key that the storage is registered with."""

import re
from typing import Any

from tests.functional import test_rbd


class TestRefused(test_rbd.RbdTestCase):
    """The key that the storage is registered with is another user's."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.create_volume()
        self.fill(self.volume)
        self.options = self.lab.directory / 'etc/ebackup.d/key.conf'
        self.addCleanup(self.restart)
        self.addCleanup(self.options.unlink)
        self.give_key_of('cinder')

    def restart(self) -> None:
        self.lab.run('restart', self.lab.service('ebackup-server'))

    def give_key_of(self, user: str) -> None:
        keyring = self.lab.directory / f'etc/ceph/ceph.client.{user}.keyring'
        [key] = re.findall(r'key = (\S+)', keyring.read_text())
        self.options.write_text(f'[ceph]\nkey = {key}\n')
        self.restart()

    def refused(self, cause: str) -> dict[str, Any]:
        """The job of a backup that fails with these words."""
        backup = self.start_backup(self.volume)
        found = self.wait_for_backup(backup, 'error')
        self.assertIn(cause, found.fail_reason)
        job = self.jobs(backup, 'backup')[0]
        self.assertEqual('credentials-refused', job['error']['kind'])
        return job

    def storage(self) -> dict[str, Any]:
        return self.call('GET', '/v1/storages/ceph')['storage']

    def test_it_is_tried_once_and_again_when_it_is_corrected(self) -> None:
        job = self.refused('does not let client.ebackup in')
        self.assertEqual(1, job['runs'])
        since = self.storage()['refused_since']
        for _ in range(2):
            job = self.refused(f'refuses its credentials since {since[:19]}Z')
            # No proxy has had it.
            self.assertEqual(0, job['runs'])
        self.give_key_of('ebackup')
        self.assertIsNone(self.storage()['refused_since'])
        backup = self.backup(self.volume)
        self.assert_restored(backup, self.sha256(self.volume))
