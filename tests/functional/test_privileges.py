# SPDX-License-Identifier: Apache-2.0
"""eBackup runs as the install guide says: as nobody in particular.

The rights of the proxy are those of "Privileges of the proxy"; the API and the
server need none at all.
"""

import os
import pathlib
import stat

from tests import environment
from tests.functional import base

# Debian's, of the block devices.
DISK = 6
# Of /proc/PID/status: what a thread may do, or may come to do by itself.
CAPABILITIES = ('CapInh', 'CapPrm', 'CapEff', 'CapAmb')


class PrivilegesTestCase(base.LabTestCase):
    def setUp(self) -> None:
        super().setUp()
        if os.geteuid():
            environment.lacks('the lab is not of root, so it runs as its user')
        volumes = self.lab.directory / 'volumes/file'
        self.volume_group = volumes.stat().st_gid

    def threads(self, service: str) -> list[dict[str, str]]:
        """Return the status of each thread of a service."""
        name = self.lab.service(service)
        [pid] = [
            found['pid']
            for found in self.lab.status()['services']
            if found['name'] == name
        ]
        tasks = list(pathlib.Path(f'/proc/{pid}/task').iterdir())
        self.assertLess(1, len(tasks))
        texts = [(task / 'status').read_text() for task in tasks]
        return [
            dict(line.split(':\t', 1) for line in text.splitlines())
            for text in texts
        ]

    def check(self, service: str, groups: set[int]) -> None:
        """Check that a service has a user of its own and these groups.

        Its own group comes on top, whose number is that of the user.
        """
        for thread in self.threads(service):
            [user] = {int(number) for number in thread['Uid'].split()}
            [group] = {int(number) for number in thread['Gid'].split()}
            others = {int(number) for number in thread['Groups'].split()}
            self.assertNotIn(0, {user, group} | others)
            self.assertEqual(user, group)
            self.assertEqual(groups, others - {group})
            for name in CAPABILITIES:
                self.assertEqual(0, int(thread[name], 16), name)

    def test_proxy_has_the_groups_of_the_volumes_only(self):
        self.check('ebackup-proxy', {DISK, self.volume_group})

    def test_api_and_server_have_no_groups_at_all(self):
        if not self.lab.separate:
            self.skipTest('they are one process with the proxy here')
        self.check('ebackup-api', set())
        self.check('ebackup-server', set())
        self.check('ebackup-server-2', set())

    def test_repository_is_the_proxys_alone(self):
        user = int(self.threads('ebackup-proxy')[0]['Uid'].split()[0])
        repository = self.lab.directory / 'repository'
        for path in repository, *repository.rglob('*'):
            status = path.stat()
            self.assertEqual((user, user), (status.st_uid, status.st_gid))
            self.assertFalse(status.st_mode & stat.S_IRWXO, path)
