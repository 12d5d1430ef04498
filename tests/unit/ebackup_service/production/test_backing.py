# SPDX-License-Identifier: Apache-2.0
import os

import fixtures

from ebackup_service.production import backing
from tests import base
from tests.unit.ebackup_service.production import loops


class LoopDeviceOfTest(base.BaseTestCase):
    def ask(self, path):
        return backing.loop_device_of(path, os.stat(path))

    def loop(self):
        return self.useFixture(loops.LoopDevice(1 << 20))

    def test_backing_file(self):
        loop = self.loop()
        self.assertEqual(os.path.basename(loop.path), self.ask(loop.backing))

    def test_other_name_of_a_backing_file(self):
        loop = self.loop()
        other = loop.backing + '-other'
        os.link(loop.backing, other)
        self.assertEqual(os.path.basename(loop.path), self.ask(other))

    def test_deleted_backing_file_is_no_file(self):
        loop = self.loop()
        os.unlink(loop.backing)
        with open(loop.backing, 'wb'):
            pass
        self.assertIsNone(self.ask(loop.backing))

    def test_file_of_its_own(self):
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'f')
        with open(path, 'wb'):
            pass
        self.assertIsNone(self.ask(path))
