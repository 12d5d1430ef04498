# SPDX-License-Identifier: Apache-2.0

from ebackup_service.api import context
from tests import base


class EnterTest(base.BaseTestCase):
    def test_headers_count_only_when_nothing_else_is_known(self):
        environ = {'HTTP_X_ROLES': 'admin,reader', 'HTTP_X_PROJECT_ID': 'p'}
        context.enter(environ)
        self.assertEqual('p', environ[context.ENVIRON_KEY].project_id)
        context.enter(environ, user_id='u', roles=['reader'])
        caller = environ[context.ENVIRON_KEY]
        self.assertEqual(['reader'], caller.roles)
        self.assertIsNone(caller.project_id)

    def test_request_id_is_that_of_the_answer(self):
        environ = {'openstack.request_id': 'req-1'}
        context.enter(environ, user_id='u')
        self.assertEqual('req-1', environ[context.ENVIRON_KEY].request_id)
