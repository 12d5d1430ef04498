# SPDX-License-Identifier: Apache-2.0
import logging

import fixtures
from oslo_policy import opts

from ebackup_service.server import storages
from tests.unit.ebackup_service.api import base
from tests.unit.ebackup_service import storage_fixture

SECRET = storage_fixture.SECRET


class StorageTestCase(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(storage_fixture.PlayedKind())
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        self.addCleanup(lambda: self.assertNotIn(SECRET, self.log.output))

    def call(self, status, method, path='', **body):
        """Ask as an administrator; no answer ever has a secret in it."""
        response = self.request(
            method, f'/v1/storages{path}', body or None, 'admin'
        )
        self.assertEqual(status, response.status_int, response.text)
        self.assertNotIn(SECRET, response.text)
        return response.json if response.body else None

    def create(self, status=201, **changes):
        storage = {'name': 'ceph1', 'kind': storage_fixture.KIND}
        return self.call(
            status,
            'POST',
            storage={**storage, **storage_fixture.values(), **changes},
        )


class CreateTest(StorageTestCase):
    def test_registered_and_shown(self):
        created = self.create(trust='shadow', anchors=False)['storage']
        self.assertEqual(
            ('ceph1', 'played', 'shadow', False, True),
            (
                created['name'],
                created['kind'],
                created['trust'],
                created['anchors'],
                created['has_credentials'],
            ),
        )
        self.assertEqual({'storage': created}, self.call(200, 'GET', '/ceph1'))
        self.assertEqual({'storages': [created]}, self.call(200, 'GET'))

    def test_name_and_back_end_are_taken_once(self):
        self.create()
        for changes, kind in (
            ({'backends': []}, 'storage-exists'),
            ({'name': 'other'}, 'backend-taken'),
        ):
            error = self.create(409, **changes)['error']
            self.assertEqual(kind, error['kind'])

    def test_what_is_wrong_is_named(self):
        for changes, field in (
            ({'name': '../a'}, 'name'),
            ({'kind': 'No kind'}, 'kind'),
            ({'kind': 'tape'}, 'tape'),
            ({'backends': 'node@one'}, 'backends'),
            ({'backends': ['node@one', 'node@one']}, 'backends'),
            ({'backends': [7]}, 'backends.0'),
            ({'backends': ['node']}, "'node'"),
            ({'settings': []}, 'settings'),
            ({'settings': {}}, 'pool'),
            ({'trust': 'blind'}, 'trust'),
            ({'anchors': 1}, 'anchors'),
            ({'colour': 1}, 'colour'),
        ):
            error = self.create(400, **changes)['error']
            self.assertIn(field, error['message'])

    def test_what_is_wrong_is_not_quoted(self):
        for changes in (
            {'credentials': SECRET},
            {'credentials': [SECRET]},
            {'credentials': {'key': {'key': SECRET}}},
            {'credentials': {'key': SECRET, 'other': SECRET}},
            {'settings': SECRET},
            {'settings': {'pool': [SECRET]}},
            {'backends': SECRET},
            {'anchors': SECRET},
            {'trust': SECRET},
            {'key': SECRET},
        ):
            self.create(400, **changes)
        self.call(400, 'POST', storage=SECRET)
        self.call(400, 'POST', key=SECRET)


class UpdateTest(StorageTestCase):
    def setUp(self):
        super().setUp()
        self.create()

    def patch(self, status, **changes):
        return self.call(status, 'PATCH', '/ceph1', storage=changes)

    def test_what_is_named(self):
        changed = self.patch(200, trust='shadow')['storage']
        self.assertEqual('shadow', changed['trust'])
        self.assertTrue(changed['has_credentials'])
        changed = self.patch(200, backends=['node@two'])['storage']
        self.assertEqual(['node@two'], changed['backends'])

    def test_credentials(self):
        self.patch(200, credentials={'key': SECRET})
        self.patch(400, credentials={'key': [SECRET]})

    def test_nothing_and_what_can_not_change_are_refused(self):
        self.patch(400)
        for field in ('name', 'kind', 'id', 'configured'):
            error = self.patch(400, **{field: 'x'})['error']
            self.assertIn(field, error['message'])

    def test_unknown_one(self):
        error = self.call(404, 'PATCH', '/x', storage={'anchors': False})
        self.assertEqual('storage-unknown', error['error']['kind'])

    def test_configured_one(self):
        storages.update(self.catalog, self.conf, 'ceph1', configured=True)
        error = self.patch(409, anchors=False)['error']
        self.assertEqual('storage-configured', error['kind'])

    def test_key_that_is_missing_is_said(self):
        path = f'{self.directory}/missing'
        self.conf.set_override('key_file', path, group='server')
        error = self.patch(500, credentials={'key': SECRET})['error']
        self.assertEqual('key-unusable', error['kind'])
        self.assertIn(path, error['message'])


class DeleteTest(StorageTestCase):
    def test_it_is_gone(self):
        self.create()
        self.call(204, 'DELETE', '/ceph1')
        error = self.call(404, 'DELETE', '/ceph1')['error']
        self.assertEqual('storage-unknown', error['kind'])
        self.assertEqual({'storages': []}, self.call(200, 'GET'))

    def test_not_while_a_job_needs_it(self):
        self.make_repository()
        self.create()
        self.reserve(
            volume={
                **base.image_request()['volume'],
                'host': storage_fixture.HOST,
            }
        )
        error = self.call(409, 'DELETE', '/ceph1')['error']
        self.assertEqual('storage-in-use', error['kind'])


class ForceDeleteTest(StorageTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.create()
        self.image = self.make_image()
        storage_fixture.leave_anchor(self.catalog, 'ceph1', self.image)

    def test_without_force_it_is_refused_and_how_is_said(self):
        for path in ('/ceph1', '/ceph1?force=false'):
            error = self.call(409, 'DELETE', path)['error']
            self.assertEqual('storage-in-use', error['kind'])
            self.assertIn('--force', error['message'])

    def test_what_is_left_is_said(self):
        woken = self.woken
        left = self.call(200, 'DELETE', '/ceph1?force=true')['storage']
        [snapshot] = left['snapshots']
        self.assertEqual(
            ('ceph1', 'deleted', 'backup.i.snap.1', '7', 'anchor'),
            (
                left['name'],
                left['state'],
                snapshot['name'],
                snapshot['snapshot_id'],
                snapshot['state'],
            ),
        )
        image = self.answer(200, 'GET', f'/v1/images/{self.image}')['image']
        self.assertEqual(image['volume_id'], snapshot['volume_id'])
        self.assertIn('backup.i.snap.1', self.log.output)
        self.assertEqual({'storages': []}, self.call(200, 'GET'))
        # Whoever removes snapshots there is to stop soon.
        self.assertEqual(woken + 1, self.woken)
        error = self.call(404, 'DELETE', '/ceph1?force=true')['error']
        self.assertEqual('storage-unknown', error['kind'])

    def test_not_while_a_job_needs_it(self):
        self.reserve(
            volume={
                **base.image_request()['volume'],
                'host': storage_fixture.HOST,
            }
        )
        error = self.call(409, 'DELETE', '/ceph1?force=true')['error']
        self.assertEqual('storage-in-use', error['kind'])

    def test_other_words_are_refused(self):
        for query in ('force=1', 'force=', 'force', 'force=true&force=true'):
            error = self.call(400, 'DELETE', f'/ceph1?{query}')['error']
            self.assertIn('query.force', error['message'])
        self.call(400, 'DELETE', '/ceph1?colour=red')
        self.call(409, 'DELETE', '/ceph1')

    def test_it_is_for_administrators(self):
        for caller in ('service', 'member'):
            path = '/v1/storages/ceph1?force=true'
            self.error(403, 'DELETE', path, caller=caller)
        self.call(200, 'GET', '/ceph1')


class ConfinedForceDeleteTest(StorageTestCase):
    """An operator lets nobody delete a storage by force."""

    def configure(self):
        path = f'{self.directory}/policy.yaml'
        with open(path, 'w') as rules:
            rules.write('"ebackup:storage:force_delete": "!"\n')
        opts.set_defaults(self.conf, policy_file=path)

    def test_it_has_a_rule_of_its_own(self):
        self.create()
        error = self.call(403, 'DELETE', '/ceph1?force=true')['error']
        self.assertIn('ebackup:storage:force_delete', error['message'])
        self.call(204, 'DELETE', '/ceph1?force=false')


class ConfinedDeleteTest(StorageTestCase):
    """Nor may anybody by force who may not do it without."""

    def configure(self):
        path = f'{self.directory}/policy.yaml'
        with open(path, 'w') as rules:
            rules.write('"ebackup:storage:delete": "!"\n')
        opts.set_defaults(self.conf, policy_file=path)

    def test_it_is_needed_as_well(self):
        self.create()
        for query in ('', '?force=true'):
            error = self.call(403, 'DELETE', f'/ceph1{query}')['error']
            self.assertIn('ebackup:storage:delete', error['message'])
