# SPDX-License-Identifier: Apache-2.0

from ebackup_service.api import answer
from tests import base


class AnswerTest(base.BaseTestCase):
    def test_json_is_never_cached(self):
        response = answer.json(202, {'a': 'ä'})
        self.assertEqual(202, response.status_int)
        self.assertEqual({'a': 'ä'}, response.json)
        self.assertEqual('no-store', response.headers['Cache-Control'])

    def test_empty_has_neither_body_nor_type(self):
        response = answer.empty()
        self.assertEqual(204, response.status_int)
        self.assertEqual(b'', response.body)
        self.assertIsNone(response.content_type)
