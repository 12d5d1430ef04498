# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service.production import base as production
from ebackup_service.server.catalog import refusal
from ebackup_service.server import credentials
from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import storage_fixture

BACKEND = storage_fixture.BACKEND
HOST = storage_fixture.HOST
SECRET = storage_fixture.SECRET


class StoragesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog, self.conf = self.fixture.catalog, self.fixture.conf
        self.useFixture(storage_fixture.PlayedKind())
        self.fixture.make_repository()

    def refused(self, kind, code, function, *args, **kw):
        error = self.assertRaises(errors.ServerError, function, *args, **kw)
        self.assertEqual((kind, code), (error.kind, error.code))
        self.assertNotIn(SECRET, str(error))
        return str(error)

    def create(self, name='ceph1', kind=storage_fixture.KIND, **changes):
        return storages.create(
            self.catalog,
            self.conf,
            name,
            kind,
            **storage_fixture.values(**changes),
        )

    def update(self, name='ceph1', **values):
        return storages.update(self.catalog, self.conf, name, **values)

    def names(self):
        return [found.name for found in storages.list(self.catalog)]

    def key(self, storage):
        return credentials.decrypt(
            self.conf, storage.credentials, storage.name
        )['key']

    def reserve(self, host=HOST):
        _, job = self.fixture.reserve(
            volume={'host': host, 'backend_name': 'volume-1'}
        )
        return job


class TestCreate(StoragesTestCase):
    def test_what_was_given_is_there(self):
        created = self.create(trust='shadow', anchors=False)
        self.assertEqual(created, storages.show(self.catalog, 'ceph1'))
        self.assertEqual(
            ('played', [BACKEND], {'pool': 'volumes'}, 'shadow', False, False),
            (
                created.kind,
                created.backends,
                created.settings,
                created.trust,
                created.anchors,
                created.configured,
            ),
        )

    def test_what_was_not_given_has_a_default(self):
        created = self.create()
        self.assertEqual(('trusted', True), (created.trust, created.anchors))

    def test_no_anchors_where_cinder_could_not_delete_the_volume(self):
        self.useFixture(
            fixtures.MonkeyPatch(
                'tests.unit.ebackup_service.storage_fixture.PlayedStorage'
                '.capabilities',
                production.Capabilities(anchors=False),
            )
        )
        self.assertFalse(self.create().anchors)

    def test_credentials_are_encrypted(self):
        created = self.create()
        self.assertNotIn(SECRET, repr(created) + created.credentials)
        self.assertEqual(SECRET, self.key(created))

    def test_name_is_taken_once(self):
        self.create()
        said = self.refused(
            'storage-exists', 409, self.create, backends=['node@two']
        )
        self.assertIn("'ceph1'", said)

    def test_back_end_has_one_storage(self):
        self.create()
        said = self.refused(
            'backend-taken',
            409,
            self.create,
            'other',
            backends=['node@two', BACKEND],
        )
        self.assertIn(f'{BACKEND} is served by storage', said)
        self.assertEqual(['ceph1'], self.names())

    def test_what_is_no_back_end_is_named(self):
        for backend in ('node', 'node@one#pool', '@one', 'node@', 'a b@c', ''):
            said = self.refused(
                'storage-backends', 400, self.create, backends=[backend]
            )
            self.assertIn(repr(backend), said)

    def test_kinds_that_can_not_be_registered(self):
        for kind in ('tape', 'attached'):
            said = self.refused('storage-kind', 400, self.create, 'a', kind)
            self.assertIn(kind, said)

    def test_settings_are_those_of_the_kind(self):
        for settings, said in (
            ({}, "settings: 'pool' is a required"),
            ({'pool': 'x', 'host': 'y'}, "('host' was unexpected)"),
            ({'pool': 1}, 'settings.pool: does not satisfy type string'),
            ({'pool': 'x', 'depth': 0}, 'settings.depth: does not satisfy'),
        ):
            self.assertIn(
                said,
                self.refused(
                    'storage-settings', 400, self.create, settings=settings
                ),
            )

    def test_credentials_are_those_of_the_kind_and_never_quoted(self):
        for given, said in (
            (None, "credentials: 'key' is a required"),
            ({}, "credentials: 'key' is a required"),
            ({'key': SECRET, 'pin': SECRET}, "('pin' was unexpected)"),
            ({'key': [SECRET]}, 'credentials.key: does not satisfy type'),
            ({'key': 'xyz'}, 'credentials.key: does not satisfy minLength'),
        ):
            text = self.refused(
                'storage-credentials', 400, self.create, credentials=given
            )
            self.assertIn(said, text)
            self.assertNotIn('xyz', text)

    def test_without_a_key_nothing_is_registered(self):
        path = f'{self.fixture.directory}/missing'
        self.conf.set_override('key_file', path, group='server')
        self.assertIn(path, self.refused('key-unusable', 500, self.create))
        self.assertEqual([], self.names())

    def test_nothing_secret_is_logged(self):
        log = self.useFixture(fixtures.FakeLogger())
        self.create()
        self.assertNotIn(SECRET, log.output)


class TestUpdate(StoragesTestCase):
    def setUp(self):
        super().setUp()
        self.created = self.create()

    def test_what_is_not_named_stays(self):
        changed = self.update(trust='shadow')
        self.assertEqual('shadow', changed.trust)
        self.assertEqual(
            (self.created.backends, self.created.credentials),
            (changed.backends, changed.credentials),
        )

    def test_what_is_named_is_replaced(self):
        changed = self.update(
            backends=['node@two'],
            settings={'pool': 'other', 'depth': 2},
            credentials={'key': 'another-key'},
            anchors=False,
        )
        self.assertEqual(['node@two'], changed.backends)
        self.assertEqual({'pool': 'other', 'depth': 2}, changed.settings)
        self.assertEqual('another-key', self.key(changed))
        self.assertFalse(changed.anchors)

    def test_values_are_checked(self):
        for kind, values in (
            ('storage-backends', {'backends': ['node']}),
            ('storage-settings', {'settings': {}}),
            ('storage-credentials', {'credentials': None}),
        ):
            self.refused(kind, 400, self.update, **values)

    def test_back_end_of_another_one(self):
        self.create('other', backends=['node@two'])
        self.refused('backend-taken', 409, self.update, backends=['node@two'])
        self.update(backends=[BACKEND, 'node@three'])

    def test_back_end_that_a_job_needs_stays(self):
        job = self.reserve()
        said = self.refused(
            'storage-in-use', 409, self.update, backends=['node@two']
        )
        self.assertIn(job.id, said)
        self.update(backends=[BACKEND, 'node@two'])
        jobs.cancel(self.catalog, job.id)
        self.update(backends=['node@two'])

    def test_everything_else_may_change_while_a_job_needs_it(self):
        self.reserve()
        changed = self.update(credentials={'key': 'another-key'})
        self.assertEqual('another-key', self.key(changed))

    def test_unknown_one(self):
        self.refused('storage-unknown', 404, self.update, 'x', trust='shadow')

    def test_one_that_another_has_replaced_meanwhile(self):
        encrypt = credentials.encrypt

        def replace(conf, given):
            patch.cleanUp()
            storages.delete(self.catalog, 'ceph1')
            self.create()
            return encrypt(conf, given)

        patch = fixtures.MockPatchObject(credentials, 'encrypt', replace)
        patch.setUp()
        self.refused(
            'storage-unknown', 404, self.update, credentials={'key': 'late'}
        )
        found = storages.show(self.catalog, 'ceph1')
        self.assertEqual(SECRET, self.key(found))


class TestDelete(StoragesTestCase):
    def test_it_is_forgotten(self):
        self.create()
        storages.delete(self.catalog, 'ceph1')
        self.assertEqual([], self.names())
        self.refused(
            'storage-unknown', 404, storages.delete, self.catalog, 'ceph1'
        )

    def test_that_it_refused_is_forgotten_with_it(self):
        created = self.create()
        with self.catalog.writer() as session:
            for host in refusal.EVERYWHERE, 'here':
                refusal.note(
                    session, created.id, created.updated_at, host, 1, 60.0
                )
        storages.delete(self.catalog, 'ceph1')
        with self.catalog.reader() as session:
            self.assertEqual({}, refusal.by_storage(session))

    def test_not_while_a_job_needs_it(self):
        self.create()
        self.reserve('node@two#pool')
        job = self.reserve()
        said = self.refused(
            'storage-in-use', 409, storages.delete, self.catalog, 'ceph1'
        )
        self.assertIn(f'backup job {job.id}, pending', said)
        jobs.cancel(self.catalog, job.id)
        storages.delete(self.catalog, 'ceph1')

    def test_not_while_a_volume_on_it_is_restored(self):
        self.create()
        image = self.fixture.make_image()
        job = self.fixture.restore(image, volume={'host': HOST})
        said = self.refused(
            'storage-in-use', 409, storages.delete, self.catalog, 'ceph1'
        )
        self.assertIn(f'restore job {job.id}', said)


class TestConfigured(StoragesTestCase):
    def setUp(self):
        super().setUp()
        storages.create(
            self.catalog,
            self.conf,
            'ceph1',
            storage_fixture.KIND,
            configured=True,
            **storage_fixture.values(),
        )

    def test_others_may_not_change_it(self):
        for function, args in (
            (self.update, ()),
            (storages.delete, (self.catalog, 'ceph1')),
        ):
            said = self.refused('storage-configured', 409, function, *args)
            self.assertIn('[server]enabled_storages', said)

    def test_the_configuration_may(self):
        changed = self.update(configured=True, trust='shadow')
        self.assertEqual((True, 'shadow'), (changed.configured, changed.trust))


class TestReencrypt(StoragesTestCase):
    def test_old_keys_are_not_needed_any_more(self):
        self.create()
        path = credentials.create_key(self.conf)
        self.assertEqual(1, storages.reencrypt(self.catalog, self.conf))
        with open(path) as file:
            newest = file.readline()
        with open(path, 'w') as file:
            file.write(newest)
        found = storages.show(self.catalog, 'ceph1')
        self.assertEqual(SECRET, self.key(found))

    def test_all_or_none(self):
        first = self.create('a', backends=[])
        with open(f'{self.fixture.directory}/ebackup.keys', 'w'):
            pass
        credentials_before = first.credentials
        self.refused(
            'key-unusable', 500, storages.reencrypt, self.catalog, self.conf
        )
        found = storages.show(self.catalog, 'a')
        self.assertEqual(credentials_before, found.credentials)
