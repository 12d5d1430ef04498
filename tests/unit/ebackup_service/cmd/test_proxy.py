# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import fixtures

from ebackup_service.cmd import catalogs
from ebackup_service.cmd import proxy
from ebackup_service.cmd import server
from ebackup_service.server import proxies
from tests.unit.ebackup_service.cmd import base


class ProxyTest(base.ProgramTestCase):
    def test_server_hears_of_it(self):
        self.make_tables()
        catalog = catalogs.opened(self.conf, self.stack)
        server.start(self.conf, self.stack)
        proxy.start(self.conf, self.stack)
        found = self.wait_for(lambda: proxies.list(catalog, self.conf))
        self.assertEqual(self.conf.proxy.host, found[0].proxy.host)

    def test_it_needs_no_database(self):
        self.conf.set_override('connection', 'none://', group='database')
        proxy.start(self.conf, self.stack)

    def test_it_loads_nothing_that_only_a_catalog_needs(self):
        program = (
            'import sys; from ebackup_service.cmd import proxy; '
            "sys.exit('sqlalchemy' in sys.modules)"
        )
        done = subprocess.run([sys.executable, '-c', program])
        self.assertEqual(0, done.returncode)


class MainTest(base.ProgramTestCase):
    def test_options_come_from_the_command_line(self):
        run = self.useFixture(
            fixtures.MockPatchObject(proxy.program, 'run', return_value=3)
        ).mock
        self.assertEqual(3, proxy.main(['x']))
        run.assert_called_once_with('ebackup-proxy', proxy.start, ['x'])
