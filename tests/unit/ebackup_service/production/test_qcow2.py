# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess

import fixtures

from ebackup_service.production import qcow2
from tests import base
from tests.unit.ebackup_service.production import nbd_servers

KIB, GIB, TIB = 1 << 10, 1 << 30, 1 << 40


class EmptyTest(base.BaseTestCase):
    """QEMU finds it as good as one of its own."""

    def setUp(self):
        super().setUp()
        nbd_servers.need_programs()
        directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(directory, 'image')

    def tell(self, command):
        result = subprocess.run(
            ['qemu-img', command, '--output=json', '-f', 'qcow2', self.path],
            check=True,
            capture_output=True,
        )
        return json.loads(result.stdout)

    def test_sound(self):
        for size in (512, 64 * KIB, GIB // 2, GIB // 2 + 512, 3 * TIB + 512):
            with open(self.path, 'wb') as file:
                file.write(qcow2.empty(size))
            self.assertEqual(size, self.tell('info')['virtual-size'])
            found = self.tell('check')
            self.assertEqual(0, found['check-errors'])
            self.assertNotIn('leaks', found)
            self.assertEqual(
                [(0, size, False)],
                [
                    (extent['start'], extent['length'], extent['present'])
                    for extent in self.tell('map')
                ],
            )

    def test_largest_volume(self):
        """Its table has more than one cluster."""
        with open(self.path, 'wb') as file:
            file.write(qcow2.empty(64 * TIB))
        subprocess.run(
            [
                *('qemu-io', '-f', 'qcow2', self.path),
                *('-c', f'write -P 7 {64 * TIB - 512} 512'),
                *('-c', f'read -P 7 {64 * TIB - 512} 512'),
                *('-c', 'read -P 0 0 512'),
            ],
            check=True,
            capture_output=True,
        )
        found = self.tell('check')
        self.assertEqual(0, found['check-errors'])
        self.assertNotIn('leaks', found)
