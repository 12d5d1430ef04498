# SPDX-License-Identifier: Apache-2.0
import sqlalchemy as sa

from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import proxy as proxy_rows
from tests.unit.ebackup_service.api import base


class ProxyTest(base.ApiTestCase):
    def test_none(self):
        answer = self.answer(200, 'GET', '/v1/proxies', caller='admin')
        self.assertEqual([], answer['proxies'])

    def test_announced_proxy_is_alive(self):
        with self.catalog.writer() as session:
            proxy_rows.announce(session, 'node1', '1.0', {'jobs': 4})
        answer = self.answer(200, 'GET', '/v1/proxies', caller='admin')
        proxy = answer['proxies'][0]
        self.assertEqual('node1', proxy['host'])
        self.assertTrue(proxy['alive'])
        self.assertEqual([], proxy['jobs'])

    def test_silent_proxy_is_not_alive(self):
        with self.catalog.writer() as session:
            proxy_rows.announce(session, 'node1', '1.0', {})
            session.execute(sa.update(models.Proxy).values(announced_at=0))
        answer = self.answer(200, 'GET', '/v1/proxies', caller='admin')
        self.assertFalse(answer['proxies'][0]['alive'])
