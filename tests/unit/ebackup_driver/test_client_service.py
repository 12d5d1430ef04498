# SPDX-License-Identifier: Apache-2.0
"""The client against the real service, over a real socket.

What the tests beside this one play by the contract is here as it is: if the
service changes, this is where it shows.
"""

import os
import shutil
import tempfile
import uuid

import fixtures
from keystoneauth1 import adapter
from keystoneauth1 import http_basic
from keystoneauth1 import session as ksa_session

from ebackup_driver import client
from ebackup_driver import errors
from ebackup_driver import waiting
from tests import base
from tests.unit.ebackup_driver import real_service


class RealServiceTestCase(base.BaseTestCase):
    """One service for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = tempfile.mkdtemp(prefix='ebackup-real-service-')
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.service = real_service.RealService(directory)
        cls.service.setUp()
        cls.addClassCleanup(cls.service.cleanUp)
        cls.wait_for_repository()

    @classmethod
    def client(cls, user, password=None):
        auth = http_basic.HTTPBasicAuth(
            cls.service.url, user, password or user
        )
        http = adapter.Adapter(
            ksa_session.Session(auth, timeout=30),
            service_type='block-backup',
        )
        return client.Client(http)

    @classmethod
    def wait_for_repository(cls):
        operator = cls.client(real_service.ADMIN)
        (job,) = operator.jobs(kind='create')
        waiting.Waiter(cls.client(real_service.SERVICE), 1, 60).wait_for_end(
            job
        )


class TestClient(RealServiceTestCase):
    def setUp(self):
        super().setUp()
        self.driver = self.client(real_service.SERVICE)
        self.operator = self.client(real_service.ADMIN)
        self.reader = self.client(real_service.READER)
        self.waiter = waiting.Waiter(self.driver, 0.2, 60)

    def back_up(self, path, image_id=None, **values):
        request = {
            'project_id': 'p1',
            'volume': {'id': str(uuid.uuid4()), 'size': path.stat().st_size},
            'snapshot_id': None,
            'repository': None,
            'volume_metadata': '{"version": 2}',
            'record': {},
            **values,
        }
        image_id = image_id or str(uuid.uuid4())
        reservation = self.driver.reserve_image(image_id, request)
        attachment = {
            'kind': 'attached',
            'host': real_service.HOST,
            'path': str(path),
        }
        if reservation.job is not None:
            self.waiter.wait(reservation.job, attachment)
        return self.driver.image(image_id)

    def test_back_up_and_delete(self):
        path = self.service.sparse_volume(
            'small', 100_001, [(5, os.urandom(70_000))]
        )
        image = self.back_up(path)
        self.assertTrue(image.available)
        self.assertEqual('full', image.kind)
        self.assertEqual(100_001, image.size)
        self.assertIn(
            image.id, [i.id for i in self.operator.images(all_projects=True)]
        )
        record = self.driver.image_record(image.id)
        self.assertEqual('{"version": 2}', record.volume_metadata)
        self.driver.import_image_record(image.id, 'p1', record.record)
        self.driver.forsake_anchors(str(uuid.uuid4()))
        self.assertRaises(
            errors.NotFound,
            self.driver.import_image_record,
            image.id,
            'p2',
            record.record,
        )
        self.waiter.wait_for_end(self.driver.delete_image(image.id))
        self.assertIsNone(self.driver.delete_image(image.id))
        self.assertRaises(errors.NotFound, self.driver.image, image.id)

    def test_all_pages_of_a_list(self):
        made = set()
        for _ in range(3):
            image_id = str(uuid.uuid4())
            self.driver.delete_image(image_id)
            made.add(image_id)
        path = self.service.sparse_volume('pages', 4096)
        images = {
            self.back_up(path, volume={'id': v, 'size': 4096}).id
            for v in [str(uuid.uuid4())] * 3
        }
        self.useFixture(fixtures.MockPatchObject(client, '_PAGE', 2))
        listed = {i.id for i in self.operator.images(all_projects=True)}
        self.assertLessEqual(images, listed)

    def test_a_path_outside_the_roots_says_so(self):
        path = self.service.directory / 'elsewhere'
        path.write_bytes(b'x' * 4096)
        error = self.assertRaises(errors.EBackupError, self.back_up, path)
        self.assertIn(str(path), str(error))

    def test_a_tombstone_refuses_a_late_image(self):
        image_id = str(uuid.uuid4())
        self.assertIsNone(self.driver.delete_image(image_id))
        path = self.service.sparse_volume('late', 4096)
        error = self.assertRaises(
            errors.Conflict, self.back_up, path, image_id
        )
        self.assertEqual('image-deleted', error.kind)

    def test_who_is_nobody_gets_nothing(self):
        for user, password in (
            (real_service.SERVICE, 'guess'),
            ('nobody', 'nobody'),
        ):
            stranger = self.client(user, password)
            self.assertRaises(
                errors.AuthenticationFailed, stranger.repositories
            )

    def test_who_may_not_is_told(self):
        self.assertRaises(errors.Forbidden, self.reader.repositories)
        self.assertRaises(errors.Forbidden, self.driver.repositories)
        self.assertRaises(
            errors.NotFound, self.reader.image, str(uuid.uuid4())
        )

    def test_malformed_requests_say_what_is_wrong(self):
        error = self.assertRaises(
            errors.RequestRefused,
            self.driver.reserve_image,
            str(uuid.uuid4()),
            {'project_id': 'p1', 'colour': 'red'},
        )
        self.assertNotEqual('', str(error))

    def test_too_much_metadata_is_refused(self):
        path = self.service.sparse_volume('chatty', 4096)
        error = self.assertRaises(
            errors.RequestRefused,
            self.back_up,
            path,
            volume_metadata='x' * (2 << 20),
        )
        self.assertLess(len(str(error)), 255)

    def test_repositories_and_proxies(self):
        repository = self.operator.repository('default')
        self.assertEqual('available', repository['state'])
        self.assertIn(repository, self.operator.repositories())
        self.assertIn('free', self.operator.repository_usage('default'))
        (proxy,) = self.operator.proxies()
        self.assertEqual(real_service.HOST, proxy['host'])
        for job in (
            self.operator.collect('default'),
            self.operator.check('default', read_data=True),
            self.operator.rebuild_catalog('default'),
        ):
            self.waiter.wait_for_end(job)

    def test_storages(self):
        self.assertEqual([], self.operator.storages())
        self.assertRaises(errors.NotFound, self.operator.storage, 'ceph1')
        self.assertRaises(
            errors.NotFound, self.operator.delete_storage, 'ceph1'
        )
        self.operator.create_storage(
            {'name': 'any', 'kind': 'connector', 'backends': ['node@any']}
        )
        deleted = self.operator.delete_storage('any', force=True)
        self.assertEqual(
            ('any', 'deleted', []),
            (deleted['name'], deleted['state'], deleted['snapshots']),
        )
        for kind in ('attached', 'tape'):
            error = self.assertRaises(
                errors.RequestRefused,
                self.operator.create_storage,
                {'name': 'a', 'kind': kind, 'backends': ['node@one']},
            )
            self.assertEqual('storage-kind', error.kind)

    def test_creation_of_a_repository(self):
        repository, job = self.operator.create_repository(
            {'name': 'more', 'url': f'file://{self.service.directory}/more'}
        )
        self.assertEqual('more', repository['name'])
        self.waiter.wait_for_end(job)
        self.assertEqual(
            'available', self.operator.repository('more')['state']
        )
        self.assertRaises(
            errors.Conflict,
            self.operator.create_repository,
            {'name': 'more', 'url': 'file:///elsewhere'},
        )
