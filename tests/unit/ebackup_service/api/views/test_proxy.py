# SPDX-License-Identifier: Apache-2.0
from ebackup_service.api.views import proxy
from ebackup_service.server.catalog import proxy as proxy_rows
from ebackup_service.server import proxies
from tests.unit.ebackup_service.api import base


class ProxyTest(base.CatalogTestCase):
    def test_fields_are_those_of_the_document(self):
        with self.catalog.writer() as session:
            proxy_rows.announce(session, 'node1', '1.0', {'max_jobs': 4})
        shown = proxy.show(proxies.list(self.catalog, self.conf)[0])
        instant = shown.pop('announced_at')
        self.assertRegex(instant, 'Z$')
        self.assertEqual(
            {
                'host': 'node1',
                'version': '1.0',
                'alive': True,
                'jobs': [],
                'capabilities': {'max_jobs': 4},
            },
            shown,
        )
