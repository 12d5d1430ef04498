# SPDX-License-Identifier: Apache-2.0
import io

import webob

from tests.unit.ebackup_service.api import base

PATH = '/v1/images/11111111-2222-4333-8444-555555555555'


class Unread(io.RawIOBase):
    """A body that must not be read."""

    def read(self, size=-1):
        raise AssertionError('the body was read')


class BodyLimitTest(base.ApiTestCase):
    def configure(self):
        self.conf.set_override('max_request_body', 5000, group='api')

    def _put(self, body, caller='service', **environ):
        req = webob.Request.blank(
            PATH,
            method='PUT',
            content_type='application/json',
            headers={'X-Auth-Token': caller},
        )
        req.body_file = body
        req.environ.update(environ)
        return req.get_response(self.app)

    def test_declared_length_is_refused_before_reading(self):
        response = self._put(Unread(), CONTENT_LENGTH='5001')
        self.assertEqual(413, response.status_int)
        self.assertEqual('body-too-large', response.json['error']['kind'])
        self.assertIn('5000', response.json['error']['message'])

    def test_whoever_asks(self):
        response = self._put(Unread(), 'nobody', CONTENT_LENGTH=str(2**70))
        self.assertEqual(413, response.status_int)

    def test_unknown_length_is_read_as_far_as_the_limit(self):
        body = io.BytesIO(b' ' * 5001)
        response = self._put(body, **{'wsgi.input_terminated': True})
        self.assertEqual(413, response.status_int)
        self.assertEqual(413, response.json['error']['code'])

    def test_limit_itself_is_read(self):
        response = self._put(io.BytesIO(b' ' * 5000), CONTENT_LENGTH='5000')
        self.assertEqual(400, response.status_int)
