# SPDX-License-Identifier: Apache-2.0
import fixtures
from oslo_db import exception as db_errors
from oslo_log import log
import sqlalchemy as sa
import webob
import webob.dec
import webob.exc

from ebackup_service.api import errors
from ebackup_service.api import faults
from ebackup_service.server import errors as server_errors
from tests import base


def answer(outcome):
    """What comes out when the application below does this."""

    @webob.dec.wsgify
    def app(req):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    response = webob.Request.blank('/x').get_response(faults.Faults(app))
    return response, response.json.get('error')


class FaultsTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())

    def test_answers_pass(self):
        _response, error = answer(webob.Response(json_body={'a': 1}))
        self.assertIsNone(error)

    def test_refusals_of_the_api(self):
        response, error = answer(errors.Forbidden('no'))
        self.assertEqual(403, response.status_int)
        self.assertEqual(
            {'code': 403, 'kind': 'forbidden', 'message': 'no'}, error
        )

    def test_refusals_of_the_server(self):
        for kind, code in (
            (server_errors.NotFound, 404),
            (server_errors.Conflict, 409),
            (server_errors.Refused, 400),
        ):
            response, error = answer(kind('a-kind', 'Why.'))
            self.assertEqual(code, response.status_int)
            self.assertEqual(
                {'code': code, 'kind': 'a-kind', 'message': 'Why.'}, error
            )

    def test_allowed_methods_are_a_header_too(self):
        response, _error = answer(
            errors.MethodNotAllowed('no', {'Allow': 'GET'})
        )
        self.assertEqual(('GET',), response.allow)

    def test_errors_of_middlewares_are_reworded(self):
        refused = webob.exc.HTTPUnauthorized(
            headers=[('WWW-Authenticate', 'Keystone')]
        )
        for outcome in (
            refused,
            webob.Response(status=401, text='<html>'),
            webob.Response(status=401, json_body={'error': 'x'}),
        ):
            response, error = answer(outcome)
            self.assertEqual('application/json', response.content_type)
            self.assertEqual('unauthorized', error['kind'])
        response, _error = answer(refused)
        self.assertEqual('Keystone', response.headers['WWW-Authenticate'])

    def test_lost_catalog_is_503_without_its_address(self):
        response, error = answer(
            db_errors.DBConnectionError(Exception('mysql://u:secret@h'))
        )
        self.assertEqual(503, response.status_int)
        self.assertNotIn('secret', response.text)
        self.assertEqual('catalog-unavailable', error['kind'])

    def test_catalog_that_refuses_to_be_written_is_503(self):
        for kind in (sa.exc.OperationalError, sa.exc.InternalError):
            response, error = answer(kind('UPDATE', {}, Exception('secret')))
            self.assertEqual(503, response.status_int)
            self.assertNotIn('secret', response.text)
            self.assertEqual('catalog-unavailable', error['kind'])

    def test_unexpected_errors_are_logged_and_not_told(self):
        response, error = answer(KeyError('inside'))
        self.assertEqual(500, response.status_int)
        self.assertEqual('internal-error', error['kind'])
        self.assertNotIn('inside', response.text)
        self.assertIn("KeyError: 'inside'", self.log.output)

    def test_log_lines_carry_no_former_caller(self):
        former = faults.context.Context(user_id='former')
        answer(webob.Response(json_body={}))
        current = faults.context.oslo_context.get_current()
        self.assertIsNot(former, current)
        self.assertIsNone(current.user_id)
        self.assertIsNotNone(log.getLogger('x'))
