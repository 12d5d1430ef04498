# SPDX-License-Identifier: Apache-2.0
import datetime

from ebackup_service.api.views import storage
from ebackup_service.server.catalog import storage as storage_rows
from tests import base

MOMENT = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)


class StorageTest(base.BaseTestCase):
    def show(self, credentials):
        return storage.show(
            storage_rows.Storage(
                id='s',
                name='ceph1',
                kind='rbd',
                backends=['node@one'],
                settings={'pool': 'volumes'},
                credentials=credentials,
                trust='trusted',
                anchors=True,
                configured=False,
                created_at=MOMENT,
                updated_at=MOMENT,
            )
        )

    def test_all_but_the_credentials(self):
        self.assertEqual(
            {
                'id': 's',
                'name': 'ceph1',
                'kind': 'rbd',
                'backends': ['node@one'],
                'settings': {'pool': 'volumes'},
                'has_credentials': True,
                'trust': 'trusted',
                'anchors': True,
                'configured': False,
                'created_at': '2026-11-23T00:00:00.000000Z',
                'updated_at': '2026-11-23T00:00:00.000000Z',
            },
            self.show('token'),
        )

    def test_whether_there_are_any(self):
        self.assertFalse(self.show(None)['has_credentials'])
