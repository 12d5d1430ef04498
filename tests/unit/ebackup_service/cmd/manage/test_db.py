# SPDX-License-Identifier: Apache-2.0
import fixtures

from tests.unit.ebackup_service.cmd.manage import base


class DbTest(base.ManageTestCase):
    def setUp(self):
        super().setUp()
        directory = self.useFixture(fixtures.TempDir()).path
        with open(f'{self.directory}/ebackup.conf', 'a') as options:
            options.write(f'[DEFAULT]\nstate_path = {directory}\n')

    def test_empty_catalog_has_no_version(self):
        self.assertIsNone(self.ask('db', 'version')['db']['version'])

    def test_sync_makes_the_tables_and_may_be_repeated(self):
        version = self.ask('db', 'sync')['db']['version']
        self.assertEqual(self.catalog.version(), version)
        self.assertEqual(version, self.ask('db', 'sync')['db']['version'])
        self.assertEqual([], self.ask('image', 'list')['images'])
