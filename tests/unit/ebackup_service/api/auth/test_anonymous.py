# SPDX-License-Identifier: Apache-2.0
import webob

from ebackup_service.api.auth import anonymous
from ebackup_service.api import deploy
from ebackup_service.api import errors
from tests.unit.ebackup_service.api import base


class AnonymousTest(base.CatalogTestCase):
    def setUp(self):
        super().setUp()
        self.conf.set_override('auth_strategy', 'none', group='api')

    def _get(self, **environ):
        app = deploy.application(self.conf, self.catalog, int, int)
        req = webob.Request.blank('/v1/repositories', environ=environ)
        return req.get_response(app).status_int

    def test_everything_is_allowed_on_this_machine(self):
        for address in ('127.0.0.1', '127.1.2.3', '::1'):
            self.assertEqual(200, self._get(REMOTE_ADDR=address))

    def test_nothing_is_from_elsewhere(self):
        for address in ('192.0.2.1', '', 'unix:'):
            self.assertEqual(401, self._get(REMOTE_ADDR=address))
        self.assertEqual(401, self._get())

    def test_refused_unless_the_address_is_loopback(self):
        for host in ('0.0.0.0', '::', '192.0.2.1', 'backup.example.org'):
            self.conf.set_override('host', host, group='api')
            error = self.assertRaises(
                errors.Misconfigured, anonymous.wrap, None, self.conf
            )
            self.assertIn(host, str(error))

    def test_localhost_is_loopback(self):
        for host in ('localhost', '127.0.0.1', '::1'):
            self.conf.set_override('host', host, group='api')
            anonymous.wrap(None, self.conf)
