# SPDX-License-Identifier: Apache-2.0
import sys
from unittest import mock

import webob

from ebackup_service.api.auth import keystone
from ebackup_service.api import context
from ebackup_service.api import deploy
from ebackup_service.api import errors
from ebackup_service import conf
from tests import base as unit_base
from tests.unit.ebackup_service.api import base


class TokenTest(base.CatalogTestCase):
    """auth_token itself, with a Keystone that no test reaches."""

    def setUp(self):
        super().setUp()
        self.app = deploy.application(self.conf, self.catalog, int, int)

    def _get(self, **headers):
        req = webob.Request.blank('/v1/images', headers=headers)
        return req.get_response(self.app)

    def test_missing_token_is_401_and_says_nothing_more(self):
        response = self._get()
        self.assertEqual(401, response.status_int)
        self.assertEqual(
            {
                'code': 401,
                'kind': 'unauthorized',
                'message': 'authentication is required',
            },
            response.json['error'],
        )
        self.assertEqual(
            'Keystone uri="http://127.0.0.1:9/v3"',
            response.headers['WWW-Authenticate'],
        )

    def test_headers_of_the_caller_prove_nothing(self):
        forged = {
            'X-Identity-Status': 'Confirmed',
            'X-Roles': 'admin,service',
            'X-User-Id': 'u',
            'X-Project-Id': 'p',
        }
        self.assertEqual(401, self._get(**forged).status_int)

    def test_delayed_decision_is_taken_here(self):
        self.conf.set_override(
            'delay_auth_decision', True, group='keystone_authtoken'
        )
        app = deploy.application(self.conf, self.catalog, int, int)
        response = webob.Request.blank('/v1/images').get_response(app)
        self.assertEqual(401, response.status_int)
        self.assertEqual('unauthorized', response.json['error']['kind'])

    def test_unreachable_keystone_is_503(self):
        response = self._get(**{'X-Auth-Token': 'a' * 32})
        self.assertEqual(503, response.status_int)
        self.assertIn('identity service', response.json['error']['message'])

    def _cache(self):
        self.conf.set_override(
            'memcached_servers', ['127.0.0.1:9'], group='keystone_authtoken'
        )
        self.app = deploy.application(self.conf, self.catalog, int, int)

    def test_cache_that_is_away_changes_nothing(self):
        self._cache()
        response = self._get(**{'X-Auth-Token': 'a' * 32})
        self.assertEqual(503, response.status_int)

    def test_cache_without_its_library_is_noticed_at_the_start(self):
        with mock.patch.dict(sys.modules, {'memcache': None}):
            error = self.assertRaises(errors.Misconfigured, self._cache)
        self.assertIn('cinder-ebackup[memcache]', str(error))


class InvalidTokenTest(base.ApiTestCase):
    def test_unknown_token_is_401_and_says_nothing_more(self):
        error = self.error(401, 'GET', '/v1/images', caller='forged')
        self.assertEqual('authentication is required', error['message'])


class ContextTest(base.ApiTestCase):
    def test_caller_is_who_the_token_says(self):
        found = []

        def app(environ, start_response):
            found.append(environ[context.ENVIRON_KEY])
            return webob.Response()(environ, start_response)

        self.app = keystone.wrap(app, self.conf)
        forged = {'X-Roles': 'admin', 'X-Project-Id': 'mine'}
        self.request('GET', '/', caller='reader', headers=forged)
        self.assertEqual(base.OWN, found[0].project_id)
        self.assertEqual(['reader'], found[0].roles)
        self.assertEqual('user-reader', found[0].user_id)


class MisconfiguredTest(unit_base.BaseTestCase):
    def test_no_account_is_noticed_at_the_start(self):
        error = self.assertRaises(
            errors.Misconfigured, keystone.wrap, None, conf.new()
        )
        self.assertIn('[keystone_authtoken]auth_type', str(error))
