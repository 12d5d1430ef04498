# SPDX-License-Identifier: Apache-2.0
import sys
import types

import fixtures

from ebackup_service.production import errors
from ebackup_service.production import nbd
from ebackup_service.production import nbd_library
from tests import base
from tests.unit.ebackup_service.production import nbd_servers


class LibraryTest(base.BaseTestCase):
    def found(self, module):
        self.useFixture(
            fixtures.MonkeyPatch('sys.modules', {**sys.modules, 'nbd': module})
        )

    def test_libnbd(self):
        nbd_servers.need()
        self.assertTrue(nbd_library.load().NBD)
        nbd.NbdStorage.check_installed()

    def test_missing(self):
        self.found(None)  # what Python has for a module that can't be imported
        for call in (nbd_library.load, nbd.NbdStorage.check_installed):
            error = self.assertRaises(errors.NotInstalled, call)
            self.assertIn('python3-libnbd', str(error))

    def test_another_module_of_that_name(self):
        other = types.ModuleType('nbd')
        other.__file__ = '/usr/lib/other/nbd.py'
        self.found(other)
        error = self.assertRaises(errors.NotInstalled, nbd_library.load)
        self.assertIn('/usr/lib/other/nbd.py', str(error))
