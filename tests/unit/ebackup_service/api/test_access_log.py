# SPDX-License-Identifier: Apache-2.0
import logging

import fixtures
import webob
import webob.dec

from ebackup_service.api import access_log
from tests import base


class AccessLogTest(base.BaseTestCase):
    def _lines(self, method, path, status=200):
        log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))

        @webob.dec.wsgify
        def app(req):
            return webob.Response(status=status)

        req = webob.Request.blank(path, method=method)
        req.environ['REMOTE_ADDR'] = '192.0.2.7'
        req.get_response(access_log.AccessLog(app))
        return log.output

    def test_changes_are_logged(self):
        line = self._lines('DELETE', '/v1/images/x', 204)
        self.assertIn('192.0.2.7 "DELETE /v1/images/x" 204', line)

    def test_polling_is_not(self):
        self.assertEqual('', self._lines('GET', '/v1/jobs/x'))
        self.assertEqual('', self._lines('POST', '/v1/jobs/x/heartbeat'))

    def test_refused_polling_is(self):
        self.assertIn('" 401', self._lines('GET', '/v1/jobs/x', 401))

    def test_path_forges_no_line(self):
        line = self._lines('PUT', '/a%0Ab%C3%A4')
        self.assertIn('"PUT /a%0Ab%C3%A4"', line)

    def test_query_is_left_out(self):
        self.assertNotIn('secret', self._lines('PUT', '/a?b=secret'))
