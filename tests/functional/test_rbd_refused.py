# SPDX-License-Identifier: Apache-2.0
"""Ceph refuses a key: that of the storage, or of the proxy's host."""

import pathlib
import re
from typing import Any

from tests.functional import test_rbd


class RefusedTestCase(test_rbd.RbdTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.volume = self.create_volume()
        self.fill(self.volume)

    def restart(self, service: str) -> None:
        self.lab.run('restart', self.lab.service(service))

    def keyring(self, user: str) -> pathlib.Path:
        return self.lab.directory / f'etc/ceph/ceph.client.{user}.keyring'

    def key(self, user: str) -> str:
        [key] = re.findall(r'key = (\S+)', self.keyring(user).read_text())
        return key

    def refused(self, cause: str, runs: int) -> None:
        """A backup fails with these words, after so many runs."""
        backup = self.start_backup(self.volume)
        found = self.wait_for_backup(backup, 'error')
        self.assertIn(cause, found.fail_reason)
        job = self.jobs(backup, 'backup')[0]
        self.assertEqual('credentials-refused', job['error']['kind'])
        self.assertEqual(runs, job['runs'])

    def storage(self) -> dict[str, Any]:
        return self.call('GET', '/v1/storages/ceph')['storage']

    def assert_backed_up(self) -> None:
        backup = self.backup(self.volume)
        self.assert_restored(backup, self.sha256(self.volume))


class TestKeyOfStorage(RefusedTestCase):
    """The key that the storage is registered with is another user's."""

    def setUp(self) -> None:
        super().setUp()
        self.options = self.lab.directory / 'etc/ebackup.d/key.conf'
        self.addCleanup(self.restart, 'ebackup-server')
        self.addCleanup(self.options.unlink)
        self.give_key_of('cinder')

    def give_key_of(self, user: str) -> None:
        conf = self.lab.directory / 'etc/ceph/ceph.conf'
        [monitors] = re.findall(r'^mon_host = (.*)$', conf.read_text(), re.M)
        self.options.write_text(
            f'[ceph]\nmon_host = {monitors}\nkey = {self.key(user)}\n'
        )
        self.restart('ebackup-server')

    def test_it_is_tried_once_and_again_when_it_is_corrected(self) -> None:
        self.refused('does not let client.ebackup in', runs=1)
        since = self.storage()['refused_since']
        for _ in range(2):
            # No proxy has it.
            cause = f'refuses its credentials since {since[:19]}Z'
            self.refused(cause, runs=0)
        self.give_key_of('ebackup')
        self.assertIsNone(self.storage()['refused_since'])
        self.assert_backed_up()


class TestKeyring(RefusedTestCase):
    """The key is on the proxy's host, and is another user's."""

    def setUp(self) -> None:
        super().setUp()
        self.right = self.keyring('ebackup').read_text()
        self.addCleanup(self.restart, 'ebackup-proxy')
        self.addCleanup(self.correct)
        key, wrong = self.key('ebackup'), self.key('cinder')
        self.keyring('ebackup').write_text(self.right.replace(key, wrong))

    def correct(self) -> None:
        self.keyring('ebackup').write_text(self.right)

    def test_it_is_tried_once_and_again_by_another_proxy(self) -> None:
        self.refused('does not let client.ebackup in', runs=1)
        storage = self.storage()
        self.assertIsNone(storage['refused_since'])
        [refused] = storage['refused_hosts']
        self.correct()
        for _ in range(2):
            cause = f'refuses the credentials of host {refused["host"]} since'
            self.refused(cause, runs=0)
        self.restart('ebackup-proxy')
        self.assertEqual([], self.storage()['refused_hosts'])
        self.assert_backed_up()
