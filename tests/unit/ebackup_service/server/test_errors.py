# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server import errors
from tests import base


class TestServerError(base.BaseTestCase):
    def test_each_has_the_status_that_the_api_answers(self):
        codes = {
            cls: cls('slug', 'text').code
            for cls in (errors.NotFound, errors.Conflict, errors.Refused)
        }
        self.assertEqual([404, 409, 400], list(codes.values()))

    def test_kind_is_for_programs_and_message_for_people(self):
        error = errors.Conflict('volume-busy', 'Volume v is busy.')
        self.assertEqual('volume-busy', error.kind)
        self.assertEqual('Volume v is busy.', str(error))
