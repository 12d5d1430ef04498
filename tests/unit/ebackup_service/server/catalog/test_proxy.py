# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server.catalog import proxy as proxy_rows
from tests.unit.ebackup_service.server.catalog import base


class TestProxy(base.SqliteTestCase):
    def announce(self, host, version='1', **capabilities):
        with self.catalog.writer() as session:
            proxy_rows.announce(session, host, version, capabilities)

    def every(self):
        with self.catalog.reader() as session:
            return proxy_rows.every(session)

    def test_announced_again_it_is_the_same_one(self):
        self.announce('b', max_jobs=1)
        self.announce('a')
        self.announce('b', '2', max_jobs=2)
        first, second = self.every()
        self.assertEqual(('a', 'b'), (first.host, second.host))
        self.assertEqual(
            ('2', {'max_jobs': 2}), (second.version, second.capabilities)
        )

    def test_age_is_by_the_databases_clock(self):
        self.announce('a')
        self.fixture.age_proxy('a', 60)
        self.assertGreaterEqual(self.every()[0].age, 60)
        self.announce('a')
        self.assertLess(self.every()[0].age, 60)
