# SPDX-License-Identifier: Apache-2.0
import datetime

from ebackup_service.api.views import storage
from ebackup_service.server.catalog import refusal
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server.catalog import storage as storage_rows
from tests import base

MINUTE = datetime.timedelta(minutes=1)
MOMENT = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)


class StorageTest(base.BaseTestCase):
    def row(self, credentials=None, refused=None):
        return storage_rows.Storage(
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
            refusals={
                host: refusal.Refusal(since, 1, since + MINUTE)
                for host, since in (refused or {}).items()
            },
        )

    def show(self, *values):
        return storage.show(self.row(*values))

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
                'refused_since': None,
                'login_after': None,
                'refused_hosts': [],
                'created_at': '2026-11-23T00:00:00.000000Z',
                'updated_at': '2026-11-23T00:00:00.000000Z',
            },
            self.show('token'),
        )

    def test_that_its_credentials_are_refused(self):
        shown = self.show('token', {'': MOMENT})
        self.assertEqual(
            ('2026-11-23T00:00:00.000000Z', '2026-11-23T00:01:00.000000Z'),
            (shown['refused_since'], shown['login_after']),
        )

    def test_hosts_whose_are_refused(self):
        shown = self.show(None, {'one': MOMENT, 'two': MOMENT + MINUTE})
        self.assertIsNone(shown['refused_since'])
        self.assertEqual(
            [
                {
                    'host': host,
                    'refused_since': f'2026-11-23T00:0{minute}:00.000000Z',
                    'login_after': f'2026-11-23T00:0{minute + 1}:00.000000Z',
                }
                for minute, host in enumerate(('one', 'two'))
            ],
            shown['refused_hosts'],
        )

    def test_whether_there_are_any(self):
        self.assertFalse(self.show(None)['has_credentials'])

    def test_what_is_left_on_one_that_was_given_up(self):
        row = snapshot_rows.Snapshot(
            id='r',
            state='anchor',
            storage_id='s',
            repository_id='repository',
            chain_id=1,
            image_id='i',
            job_id='j',
            volume={'id': 'v', 'name': 'volume-v', 'provider_location': 'x'},
            lun='cluster/3//12ab',
            name='backup.i.snap.1',
            snapshot_id='7',
            failures=0,
            release_after=0,
        )
        shown = storage.abandoned(self.row('token'), [row])
        self.assertIn('remove them yourself', shown.pop('message'))
        self.assertEqual(
            {
                'id': 's',
                'name': 'ceph1',
                'kind': 'rbd',
                'state': 'deleted',
                'snapshots': [
                    {
                        'name': 'backup.i.snap.1',
                        'snapshot_id': '7',
                        'state': 'anchor',
                        'volume_id': 'v',
                        'volume_name': 'volume-v',
                        'lun': 'cluster/3//12ab',
                        'image_id': 'i',
                    }
                ],
            },
            shown,
        )

    def test_that_nothing_is_left(self):
        shown = storage.abandoned(self.row('token'), [])
        self.assertEqual([], shown['snapshots'])
        self.assertIn('No snapshots', shown['message'])
