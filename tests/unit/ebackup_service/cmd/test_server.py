# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service.cmd import catalogs
from ebackup_service.cmd import server
from ebackup_service.server import errors
from ebackup_service.server import repositories
from ebackup_service.server import storages
from tests.unit.ebackup_service.cmd import base
from tests.unit.ebackup_service import storage_fixture


class ServerTest(base.ProgramTestCase):
    def test_jobs_that_no_proxy_can_take_fail(self):
        self.make_tables()
        self.conf.set_override('proxy_timeout', 0.1, group='server')
        catalog = catalogs.opened(self.conf, self.stack)
        repositories.create(catalog, 'a', 'file:///x')
        server.start(self.conf, self.stack)
        self.wait_for(lambda: repositories.show(catalog, 'a').state == 'error')

    def test_storages_are_registered_that_the_configuration_names(self):
        self.useFixture(storage_fixture.PlayedKind())
        self.make_tables()
        self.enable_storage('pool = volumes')
        server.start(self.conf, self.stack)
        catalog = catalogs.opened(self.conf, self.stack)
        self.assertTrue(storages.show(catalog, 'ceph1').configured)

    def test_storage_that_can_not_be_is_noticed_at_the_start(self):
        self.useFixture(storage_fixture.PlayedKind())
        self.make_tables()
        self.enable_storage('')
        error = self.assertRaises(
            errors.ServerError, server.start, self.conf, self.stack
        )
        self.assertIn('[ceph1]: ', str(error))

    def test_catalog_without_tables_is_noticed_at_the_start(self):
        self.conf.set_override('state_path', self.directory)
        self.assertRaises(
            catalogs.NotReady, server.start, self.conf, self.stack
        )

    def test_catalog_that_can_only_be_read_is_noticed_at_the_start(self):
        self.make_tables()
        self.forbid_writing()
        self.assertRaises(
            catalogs.NotReady, server.start, self.conf, self.stack
        )


class MainTest(base.ProgramTestCase):
    def test_options_come_from_the_command_line(self):
        run = self.useFixture(
            fixtures.MockPatchObject(server.program, 'run', return_value=3)
        ).mock
        self.assertEqual(3, server.main(['x']))
        run.assert_called_once_with(
            'ebackup-server',
            server.start,
            ['x'],
            (*catalogs.EXPECTED, errors.ServerError),
        )
