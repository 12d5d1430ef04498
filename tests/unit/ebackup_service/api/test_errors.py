# SPDX-License-Identifier: Apache-2.0

from ebackup_service.api import errors
from tests import base


class ResponseTest(base.BaseTestCase):
    def test_long_messages_keep_their_beginning(self):
        response = errors.response(400, 'k', 'cause' + 'x' * 400)
        message = response.json['error']['message']
        self.assertEqual(255, len(message))
        self.assertTrue(message.startswith('causex'))
        self.assertTrue(message.endswith('…'))

    def test_unauthorized_says_nothing_of_the_reason(self):
        self.assertEqual(
            'authentication is required', str(errors.Unauthorized())
        )
