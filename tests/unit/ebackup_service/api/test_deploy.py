# SPDX-License-Identifier: Apache-2.0
from oslo_context import context as oslo_context

from tests.unit.ebackup_service.api import base


class DeployTest(base.ApiTestCase):
    def test_every_answer_has_a_request_id(self):
        for path, caller in (('/', None), ('/v1/images', None), ('/x', None)):
            response = self.request('GET', path, caller=caller)
            self.assertRegex(
                response.headers['x-openstack-request-id'], '^req-'
            )

    def test_two_requests_have_two_ids(self):
        ids = {
            self.request('GET', '/').headers['x-openstack-request-id']
            for _ in range(2)
        }
        self.assertEqual(2, len(ids))

    def test_log_lines_carry_the_request_id(self):
        response = self.request('GET', '/v1/images')
        self.assertEqual(
            response.headers['x-openstack-request-id'],
            oslo_context.get_current().request_id,
        )

    def test_unknown_path(self):
        error = self.error(404, 'GET', '/v2/images')
        self.assertEqual('no-such-path', error['kind'])

    def test_unknown_path_without_a_token_is_401(self):
        self.error(401, 'GET', '/v2/images', caller=None)

    def test_large_body_without_a_token_is_413(self):
        body = b' ' * (self.conf.api.max_request_body + 1)
        self.error(413, 'PUT', '/v1/images/x', body, caller=None)


class BehindProxyTestCase(base.ApiTestCase):
    """What ends TLS says how it was asked."""

    HEADERS = {
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Host': 'cloud.example',
    }

    def link(self):
        found = self.answer(200, 'GET', '/v1/', headers=self.HEADERS)
        return found['version']['links'][0]['href']

    def test_headers_of_anybody_are_not_believed(self):
        self.assertEqual('http://localhost/v1/', self.link())

    def test_links_are_those_of_the_outside_if_asked_for(self):
        self.conf.set_override(
            'enable_proxy_headers_parsing', True, 'oslo_middleware'
        )
        self.assertEqual('https://cloud.example/v1/', self.link())
