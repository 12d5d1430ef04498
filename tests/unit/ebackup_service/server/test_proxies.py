# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server import proxies
from tests import base
from tests.unit.ebackup_service import catalog_fixture


class ProxiesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())


class TestAnyAlive(ProxiesTestCase):
    def alive(self):
        with self.fixture.catalog.reader() as session:
            return proxies.any_alive(session, self.fixture.conf)

    def test_one_suffices(self):
        self.assertFalse(self.alive())
        self.fixture.announce('a')
        self.fixture.announce('b')
        self.fixture.age_proxy('b', 60)
        self.assertTrue(self.alive())
        self.fixture.age_proxy('a', 60)
        self.assertFalse(self.alive())
        self.fixture.announce('old', messages='1.0')
        self.assertFalse(self.alive())


class TestList(ProxiesTestCase):
    def list(self):
        return proxies.list(self.fixture.catalog, self.fixture.conf)

    def test_nobody_announced(self):
        self.assertEqual([], self.list())

    def test_alive_as_long_as_it_announces_itself(self):
        self.fixture.announce('b')
        self.fixture.announce('a', max_jobs=2)
        self.fixture.age_proxy('b', 60)
        found = self.list()
        self.assertEqual(
            [('a', True), ('b', False)],
            [(status.proxy.host, status.alive) for status in found],
        )
        self.assertEqual(2, found[0].proxy.capabilities['max_jobs'])

    def test_its_running_jobs_are_named(self):
        self.fixture.make_repository()
        _, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        self.assertEqual([job.id], self.list()[0].jobs)
        self.fixture.finish(spec, 'failed')
        self.assertEqual([], self.list()[0].jobs)
