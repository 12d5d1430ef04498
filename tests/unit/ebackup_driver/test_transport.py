# SPDX-License-Identifier: Apache-2.0
import json
import logging

import fixtures
from keystoneauth1 import adapter
from keystoneauth1 import noauth
from keystoneauth1 import session

from ebackup_driver import errors
from ebackup_driver import transport
from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import http_server
from tests.unit.ebackup_driver import played_service


def connect(url):
    """Return a transport without authentication."""
    http = adapter.Adapter(
        session.Session(auth=noauth.NoAuth()), endpoint_override=url
    )
    return transport.Transport(http)


class TestSend(base.ServiceTestCase):
    def setUp(self):
        super().setUp()
        self.transport = connect(self.server.url)

    def send(self, method='GET', path='/v1/jobs', **kwargs):
        return self.transport.send(method, path, **kwargs)

    def refuse(self, status, kind='any', message='Because.'):
        def hook(request):
            raise played_service.Refusal(status, kind, message)

        self.service.hooks[:] = [hook]

    def test_gives_the_answers_json(self):
        self.assertEqual({'jobs': [], 'next': None}, self.send())

    def test_gives_none_for_an_empty_answer(self):
        self.assertIsNone(self.send('DELETE', '/v1/images/i'))

    def test_leaves_unset_query_parameters_out(self):
        self.send(query={'state': None, 'kind': 'gc'})
        self.assertEqual('kind=gc', self.service.requests[0].query)

    def test_statuses_have_meanings(self):
        for status, meaning in (
            (400, errors.RequestRefused),
            (401, errors.AuthenticationFailed),
            (403, errors.Forbidden),
            (404, errors.NotFound),
            (409, errors.Conflict),
            (413, errors.RequestRefused),
            (500, errors.ServiceFailed),
            (502, errors.ServiceUnreachable),
            (503, errors.ServiceUnreachable),
            (504, errors.ServiceUnreachable),
        ):
            self.refuse(status)
            error = self.assertRaises(errors.EBackupError, self.send)
            self.assertIs(meaning, type(error))
            self.assertEqual('Because.', str(error))

    def test_an_error_has_the_services_word_for_it(self):
        self.refuse(409, 'image-deleted')
        error = self.assertRaises(errors.Conflict, self.send)
        self.assertEqual('image-deleted', error.kind)

    def test_nothing_is_asked_twice(self):
        for status in (400, 401, 403, 404, 409, 500, 503):
            self.service.requests.clear()
            self.refuse(status)
            self.assertRaises(errors.EBackupError, self.send)
            self.assertEqual(1, len(self.service.requests))

    def test_bodies_are_not_logged(self):
        logger = self.useFixture(
            fixtures.FakeLogger(level=logging.DEBUG, format='%(message)s')
        )
        self.assertRaises(
            errors.NotFound,
            self.send,
            'PUT',
            '/v1/jobs/x/attachment',
            body={'attachment': 's3cret'},
        )
        self.assertIn('PUT /v1/jobs/x/attachment: 404', logger.output)
        self.assertNotIn('s3cret', logger.output)

    def test_identifiers_cannot_leave_their_place(self):
        self.assertEqual('..%2Fjobs%3Fa', transport.quote('../jobs?a'))


class TestStrangers(base.ServiceTestCase):
    """Whatever listens at the endpoint, the error says what is wrong."""

    def serve(self, status, payload, content_type='text/html'):
        def application(environ, start_response):
            start_response(status, [('Content-Type', content_type)])
            return [payload]

        server = self.useFixture(http_server.HttpServer(application))
        self.url = server.url
        return connect(server.url)

    def error(self, expected, *answer):
        stranger = self.serve(*answer)
        return str(self.assertRaises(expected, stranger.send, 'GET', '/'))

    def test_a_page_instead_of_json(self):
        message = self.error(errors.ServiceFailed, '200 OK', b'<html>')
        self.assertIn(self.url, message)

    def test_a_page_instead_of_an_explanation(self):
        message = self.error(errors.NotFound, '404 Not Found', b'<html>')
        self.assertEqual(f'Not Found (HTTP 404) from {self.url}', message)

    def test_an_explanation_in_another_form(self):
        for body in ({'error': 'x'}, {'error': None}, [], {'error': {}}):
            message = self.error(
                errors.Conflict, '409 Conflict', json.dumps(body).encode()
            )
            self.assertEqual(f'Conflict (HTTP 409) from {self.url}', message)
