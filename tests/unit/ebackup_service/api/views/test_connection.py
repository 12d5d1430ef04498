# SPDX-License-Identifier: Apache-2.0
from ebackup_service.api.views import connection
from ebackup_service.server.catalog import connection as connection_rows
from tests import base


class TestConnection(base.BaseTestCase):
    def test_what_it_takes_to_end_it(self):
        row = connection_rows.Connection(
            'j', 'v', 'snapshot', 's', 'here', {'initiator': 'i'}
        )
        self.assertEqual(
            {
                'job_id': 'j',
                'connector': {'initiator': 'i'},
                'exported': {'type': 'snapshot', 'id': 's'},
            },
            connection.show(row),
        )
