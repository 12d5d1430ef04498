# SPDX-License-Identifier: Apache-2.0
import uuid

import webob

from ebackup_service.api import answer
from ebackup_service.api import errors
from ebackup_service.api import router
from tests import base


def echo(req, **variables):
    return answer.json(200, variables)


TABLE = {
    '/': {'GET': echo},
    '/images/{image_id}': {'GET': echo},
    '/repositories/{name}/usage': {'POST': echo},
}


class RouterTest(base.BaseTestCase):
    def _send(self, path, method='GET', otherwise=None):
        app = router.Router(TABLE, otherwise)
        req = webob.Request.blank(path, method=method)
        return req.get_response(app).json

    def test_variables_reach_the_handler(self):
        image = str(uuid.uuid4())
        self.assertEqual({}, self._send('/'))
        self.assertEqual({'image_id': image}, self._send(f'/images/{image}'))
        self.assertEqual(
            {'name': 'a.B-c_1'},
            self._send('/repositories/a.B-c_1/usage', 'POST'),
        )

    def test_nothing_else_matches(self):
        image = str(uuid.uuid4())
        for path in (
            '/images',
            '/images/',
            '/images/x',
            f'/images/{image}/',
            f'/images/{image}%0A',
            f'/images/{image}/x',
            f'/images/{image.upper()}',
            '/repositories//usage',
            '/repositories/..%2Fa/usage',
            '/repositories/-a/usage',
            '/repositories/%00/usage',
        ):
            self.assertRaises(errors.NoSuchPath, self._send, path, 'POST')

    def test_other_method(self):
        error = self.assertRaises(
            errors.MethodNotAllowed, self._send, '/', 'PUT'
        )
        self.assertEqual({'Allow': 'GET'}, error.headers)

    def test_path_that_is_no_text(self):
        self.assertRaises(errors.BadRequest, self._send, '/%ff')

    def test_unknown_path_goes_on(self):
        other = router.Router({'/other': {'GET': lambda req: answer.empty()}})
        app = router.Router(TABLE, other)
        response = webob.Request.blank('/other').get_response(app)
        self.assertEqual(204, response.status_int)
