# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service.server.catalog import database
from tests.unit.ebackup_service.api import base


class VersionTest(base.ApiTestCase):
    def test_everybody_sees_the_versions(self):
        answer = self.answer(
            200, 'GET', '/', caller=None, base_url='http://a:1'
        )
        self.assertEqual(
            [
                {
                    'id': 'v1.0',
                    'status': 'CURRENT',
                    'links': [{'rel': 'self', 'href': 'http://a:1/v1/'}],
                }
            ],
            answer['versions'],
        )

    def test_version_itself(self):
        for path in ('/v1', '/v1/'):
            answer = self.answer(200, 'GET', path, caller=None)
            self.assertEqual('v1.0', answer['version']['id'])

    def test_only_get(self):
        self.error(405, 'POST', '/', {}, caller=None)


class HealthTest(base.ApiTestCase):
    def test_healthy(self):
        answer = self.answer(200, 'GET', '/healthcheck', caller=None)
        self.assertEqual({'status': 'ok'}, answer)

    def test_catalog_without_tables(self):
        directory = self.useFixture(fixtures.TempDir()).path
        self.conf.set_override('state_path', directory)
        empty = database.Catalog(self.conf)
        self.addCleanup(empty.close)
        self.app = base.deploy.application(
            self.conf, empty, self._wake, self.connect
        )
        error = self.error(503, 'GET', '/healthcheck', caller=None)
        self.assertEqual('unavailable', error['kind'])
