# SPDX-License-Identifier: Apache-2.0
import contextlib

import fixtures

from ebackup_service.cmd import catalogs
from ebackup_service import conf as service_conf
from tests import base


class OpenedTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = service_conf.new()
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.conf.set_override('state_path', self.directory)
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def test_empty_catalog_is_not_ready(self):
        error = self.assertRaises(
            catalogs.NotReady, catalogs.opened, self.conf, self.stack
        )
        self.assertIn('ebackup-manage db sync', str(error))

    def test_empty_catalog_can_be_filled(self):
        catalog = catalogs.opened(self.conf, self.stack, may_be_empty=True)
        catalog.upgrade()
        catalogs.opened(self.conf, self.stack)

    def test_catalog_that_cannot_be_opened_is_named(self):
        self.conf.set_override('state_path', f'{self.directory}/missing')
        error = self.assertRaises(
            catalogs.NotReady, catalogs.opened, self.conf, self.stack
        )
        self.assertIn(f'{self.directory}/missing/ebackup.sqlite', str(error))
        self.assertIn('unable to open', str(error))
