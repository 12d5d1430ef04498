# SPDX-License-Identifier: Apache-2.0
import dataclasses

from ebackup_service.api.views import job as job_view
from ebackup_service.rpc import messages
from ebackup_service.server import repositories
from ebackup_service.server import storages
from ebackup_service.server import volume_storages
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server import test_storages

HOST = test_storages.HOST
SECRET = test_storages.SECRET
CHUNK = catalog_fixture.CHUNK


class TestServing(test_storages.StoragesTestCase):
    def serving(self, host):
        with self.catalog.reader() as session:
            found = volume_storages.serving(session, host)
        return found and found.name

    def test_by_the_host_that_cinder_names(self):
        self.create(backends=['node@one', 'node@two'])
        self.create('other', backends=['node@three'])
        for host, name in (
            ('node@one#pool', 'ceph1'),
            ('node@two', 'ceph1'),
            ('node@three#a#b', 'other'),
            ('node@on#pool', None),
            ('node@one1#pool', None),
            ('other@one#pool', None),
            ('node', None),
            (None, None),
        ):
            self.assertEqual(name, self.serving(host), host)


class TestAlike(test_storages.StoragesTestCase):
    """Of Ceph: where it is, and who we are, may be said by each host."""

    def alike(self, credentials, **settings):
        created = storages.create(
            self.catalog,
            self.conf,
            f'ceph{len(storages.list(self.catalog))}',
            'rbd',
            settings={'pool': 'volumes', **settings},
            credentials=credentials,
        )
        return volume_storages.alike(created)

    def test_only_what_the_catalog_says_is(self):
        for found, credentials, settings in (
            (True, {'key': 'secret'}, {'mon_host': '10.0.0.1'}),
            (False, {'key': 'secret'}, {}),
            (False, {'key': 'secret'}, {'cluster': 'other'}),
            (False, None, {'mon_host': '10.0.0.1'}),
            (False, None, {}),
        ):
            self.assertEqual(
                found, self.alike(credentials, **settings), settings
            )

    def test_of_another_version_nothing_is_known(self):
        created = self.create()
        self.assertTrue(volume_storages.alike(created))
        unknown = dataclasses.replace(created, kind='tape')
        self.assertFalse(volume_storages.alike(unknown))


class TestSnapshots(test_storages.StoragesTestCase):
    """By what a job has one of Cinder's snapshots, and what is said of it."""

    SNAPSHOT = {'id': catalog_fixture.new_id(), 'name': 's', 'size': CHUNK}

    def of(self, kind, settings, **volume):
        storages.create(
            *(self.catalog, self.conf, kind, kind),
            backends=[f'node@{kind}'],
            settings=settings,
        )
        _, job = self.fixture.reserve(
            snapshot_id=self.SNAPSHOT['id'],
            volume={
                'host': f'node@{kind}#pool',
                'backend_name': 'v',
                'snapshot': self.SNAPSHOT,
                **volume,
            },
        )
        return job

    def test_kind_that_knows_none_of_them_has_it_attached(self):
        job = self.of('nbd', {'uri': 'nbd://node1/{name}'})
        self.assertEqual('attachment', job.needs)
        self.assertNotIn('storage', job.parameters)
        warning = job_view.show(job)['warning']
        self.assertIn(self.SNAPSHOT['id'], warning)
        self.assertIn("storage 'nbd'", warning)

    def test_kind_that_knows_them_finds_it(self):
        job = self.of('rbd', {'pool': 'volumes'})
        self.assertIsNone(job.needs)
        self.assertIsNone(job_view.show(job)['warning'])

    def test_one_that_cinder_exports_is_found_by_that(self):
        exported = {'type': 'snapshot', 'id': self.SNAPSHOT['id']}
        job = self.of('connector', {}, exported=exported)
        self.assertIn('storage', job.parameters)
        self.assertIsNone(job_view.show(job)['warning'])

    def test_one_that_an_old_driver_says_is_not_exported_is_attached(self):
        job = self.of('connector', {})
        self.assertEqual('attachment', job.needs)
        self.assertIsNone(job_view.show(job)['warning'])


class TestSpec(test_storages.StoragesTestCase):
    def spec(self, job):
        with self.catalog.reader() as session:
            return volume_storages.spec(session, self.conf, job)

    def test_all_that_a_proxy_must_know(self):
        created = self.create(trust='shadow')
        self.assertEqual(
            messages.StorageSpec(
                id=created.id,
                name='ceph1',
                kind='played',
                settings={'pool': 'volumes'},
                credentials={'key': SECRET},
                trust='shadow',
                anchors=True,
            ),
            self.spec(self.reserve()),
        )

    def test_none_of_other_volumes(self):
        self.create()
        self.assertIsNone(self.spec(self.reserve('node@two#pool')))
        self.assertIsNone(self.spec(self.reserve(None)))

    def test_none_of_other_jobs(self):
        self.create()
        job = repositories.collect(self.catalog, 'default')
        self.assertIsNone(self.spec(job))

    def test_that_of_a_restore_is_its_targets(self):
        self.create()
        image = self.fixture.make_image(volume={'host': 'node@two#pool'})
        job = self.fixture.restore(
            image, volume={'host': HOST, 'backend_name': 'v'}
        )
        self.assertEqual('ceph1', self.spec(job).name)
        self.assertIsNone(self.spec(self.fixture.restore(image)))
