# SPDX-License-Identifier: Apache-2.0
import io
import json
import os
from unittest import mock

import fixtures

from ebackup_driver import errors
from ebackup_driver.osc import storage
from tests.unit.ebackup_driver.osc import base

SECRET = 'AQ-very-secret=='


class StorageTestCase(base.CommandTestCase):
    def setUp(self):
        super().setUp()
        directory = self.useFixture(fixtures.TempDir()).path
        self.file = os.path.join(directory, 'credentials')
        self.write({'key': SECRET})

    def write(self, document):
        with open(self.file, 'w') as file:
            file.write(json.dumps(document))

    def asked(self):
        """What the service was last asked for."""
        return self.service.requests[-1].body['storage']

    def create(self, *options):
        return self.json(storage.CreateStorage, 'ceph1', 'rbd', *options)


class TestCreate(StorageTestCase):
    def test_asks_for_what_it_is_told(self):
        shown = self.create(
            *('--backend', 'node@one', '--backend', 'node@two'),
            *('--setting', 'pool=volumes', '--setting', 'depth=4'),
            *('--credentials', self.file),
            *('--trust', 'shadow', '--no-anchors'),
        )
        self.assertEqual(
            {
                'name': 'ceph1',
                'kind': 'rbd',
                'backends': ['node@one', 'node@two'],
                'settings': {'pool': 'volumes', 'depth': 4},
                'credentials': {'key': SECRET},
                'trust': 'shadow',
                'anchors': False,
            },
            self.asked(),
        )
        self.assertTrue(shown['has_credentials'])
        self.assertNotIn(SECRET, str(shown))

    def test_leaves_the_rest_to_the_service(self):
        self.create()
        self.assertEqual(
            {'name': 'ceph1', 'kind': 'rbd', 'backends': []}, self.asked()
        )

    def test_credentials_from_standard_input(self):
        given = io.StringIO(json.dumps({'key': SECRET}))
        with mock.patch('sys.stdin', given):
            self.create('--credentials', '-')
        self.assertEqual({'key': SECRET}, self.asked()['credentials'])

    def test_text_that_looks_like_json_can_be_quoted(self):
        self.create('--setting', 'pool="7"')
        self.assertEqual({'pool': '7'}, self.asked()['settings'])

    def test_setting_without_a_value(self):
        for setting in ('pool', '=volumes'):
            said = self.misused(
                storage.CreateStorage, 'a', 'rbd', '--setting', setting
            )
            self.assertIn('<name=value>', said)

    def test_file_that_is_no_json_is_not_quoted(self):
        for content in (SECRET.encode(), b'\xff' + SECRET.encode()):
            with open(self.file, 'wb') as file:
                file.write(content)
            said = self.failure(
                storage.CreateStorage, 'a', 'rbd', '--credentials', self.file
            )
            self.assertIn(f'{self.file}: not JSON', said)
            self.assertNotIn(SECRET, said)

    def test_file_that_is_missing(self):
        said = self.failure(
            storage.CreateStorage, 'a', 'rbd', '--credentials', '/no/no'
        )
        self.assertIn('/no/no: No such file', said)
        self.assertEqual([], self.service.requests)


class TestExisting(StorageTestCase):
    def setUp(self):
        super().setUp()
        self.create('--backend', 'node@one', '--credentials', self.file)

    def test_are_listed(self):
        [row] = self.json(storage.ListStorages)
        self.assertEqual(
            ('ceph1', 'rbd', ['node@one']),
            (row['Name'], row['Kind'], row['Back Ends']),
        )
        self.assertIn('node@one', self.text(storage.ListStorages))

    def test_that_one_refuses_its_credentials_is_listed(self):
        self.service.storages['ceph1']['refused_since'] = '2026-11-23T00:00Z'
        [row] = self.json(storage.ListStorages)
        self.assertEqual('2026-11-23T00:00Z', row['Refused Since'])

    def test_hosts_that_one_refuses_are_listed(self):
        refused = {'host': 'one', 'refused_since': '2026-11-23T00:00Z'}
        self.service.storages['ceph1']['refused_hosts'] = [refused]
        [row] = self.json(storage.ListStorages)
        self.assertEqual(['one'], row['Refused Hosts'])
        shown = self.json(storage.ShowStorage, 'ceph1')
        self.assertEqual([refused], shown['refused_hosts'])

    def test_are_shown(self):
        shown = self.json(storage.ShowStorage, 'ceph1')
        self.assertTrue(shown['has_credentials'])

    def test_set_asks_for_what_is_named(self):
        shown = self.json(storage.SetStorage, 'ceph1', '--trust', 'shadow')
        self.assertEqual({'trust': 'shadow'}, self.asked())
        self.assertEqual('shadow', shown['trust'])
        self.json(storage.SetStorage, 'ceph1', '--credentials', self.file)
        self.assertEqual({'credentials': {'key': SECRET}}, self.asked())

    def test_set_takes_credentials_away(self):
        shown = self.json(storage.SetStorage, 'ceph1', '--no-credentials')
        self.assertEqual({'credentials': None}, self.asked())
        self.assertFalse(shown['has_credentials'])

    def test_credentials_are_given_or_taken_away(self):
        self.service.requests.clear()
        said = self.misused(
            *(storage.SetStorage, 'ceph1', '--no-credentials'),
            *('--credentials', self.file),
        )
        self.assertIn('not allowed with', said)

    def test_set_nothing(self):
        said = self.failure(storage.SetStorage, 'ceph1')
        self.assertIn('Nothing to change', said)

    def test_delete_says_so(self):
        shown = self.json(storage.DeleteStorage, 'ceph1')
        self.assertEqual({'name': 'ceph1', 'state': 'deleted'}, shown)
        self.assertEqual({}, self.service.storages)
        self.assertEqual('', self.service.requests[-1].query)

    def test_forced_deletion_tells_what_is_left(self):
        self.service.snapshots = [
            {'name': 's1', 'snapshot_id': '7', 'volume_id': 'v1'},
            {'name': 's2', 'snapshot_id': None, 'volume_id': 'v2'},
        ]
        shown = self.json(storage.DeleteStorage, 'ceph1', '--force')
        self.assertEqual('deleted', shown['state'])
        self.assertEqual(self.service.snapshots, shown['snapshots'])
        self.create()
        said = self.text(storage.DeleteStorage, 'ceph1', '--force')
        for line in (
            'name=s1, snapshot_id=7, volume_id=v1',
            'name=s2, volume_id=v2',
        ):
            self.assertIn(line, said)

    def test_an_unknown_one_is_an_error(self):
        for command, *options in (
            (storage.ShowStorage,),
            (storage.DeleteStorage,),
            (storage.SetStorage, '--anchors'),
        ):
            self.assertRaises(
                errors.NotFound, self.run_command, command, 'x', *options
            )
