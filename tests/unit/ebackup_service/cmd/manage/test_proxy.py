# SPDX-License-Identifier: Apache-2.0
from ebackup_service.server.catalog import proxy as proxy_rows
from tests.unit.ebackup_service.cmd.manage import base


class ProxyTest(base.ManageTestCase):
    def test_list(self):
        with self.catalog.writer() as session:
            proxy_rows.announce(session, 'node1', '1.0', {'max_jobs': 4})
        found = self.ask('proxy', 'list')['proxies']
        self.assertEqual('node1', found[0]['host'])
        _code, out, _err = self.run_command('proxy', 'list')
        self.assertIn('node1', out)
