# SPDX-License-Identifier: Apache-2.0

import os
import threading
from unittest import mock

from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import jobs as proxy_jobs
from ebackup_service.repository import errors as repository_errors
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK


class TestRunningJob(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(
            proxy_fixture.Proxy({'server': {'lease': 2.0}})
        )
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()
        self.ended = threading.Event()

    def backup(self, content=b'x' * CHUNK):
        path = self.fixture.write_volume(content)
        image, job = self.fixture.reserve(size=len(content))
        self.fixture.attach(job.id, path)
        return image, self.job(self.fixture.spec(job.id))

    def job(self, spec):
        return proxy_jobs.RunningJob(
            self.fixture.conf,
            spec,
            self.fixture.server,
            throttle.Limiter(self.fixture.conf.proxy.max_bytes_per_second),
            places.Places(1).share(),
            lambda job: self.ended.set(),
        )

    def run_job(self, job):
        job.start()
        self.assertTrue(self.ended.wait(catalog_fixture.PATIENCE))
        self.assertTrue(job.join(catalog_fixture.PATIENCE))
        found = self.fixture.job(job.spec.id)
        return found.state, found.error and found.error['kind']

    def test_success_is_reported_with_result_and_progress(self):
        image, job = self.backup()
        self.assertEqual(('succeeded', None), self.run_job(job))
        found = self.fixture.job(job.spec.id)
        self.assertEqual('full', found.result['kind'])
        self.assertEqual(100, found.progress['percent'])
        self.assertEqual('available', self.fixture.image(image.id).state)

    def test_failure_is_reported_with_its_cause(self):
        image, job = self.backup()
        os.unlink(f'{self.fixture.volumes}/volume')
        self.assertEqual(('failed', 'path-unknown'), self.run_job(job))
        self.assertEqual('error', self.fixture.image(image.id).state)

    def test_what_a_failed_backup_has_stored_is_removed(self):
        _, job = self.backup(os.urandom(64 * CHUNK))
        with mock.patch.object(
            backup, '_commit', side_effect=production_errors.PathUnknown('x')
        ):
            self.assertEqual(('failed', 'path-unknown'), self.run_job(job))
        self.assertEqual(set(), self.fixture.objects())

    def test_storage_that_is_away_leaves_it_to_collection(self):
        _, job = self.backup(os.urandom(64 * CHUNK))
        with mock.patch.object(
            backup, '_commit', side_effect=production_errors.PathUnknown('x')
        ):
            with mock.patch.object(
                backup,
                'discard',
                side_effect=repository_errors.StorageUnavailable('away'),
            ):
                self.assertEqual(('failed', 'path-unknown'), self.run_job(job))
        self.assertNotEqual(set(), self.fixture.objects())

    def test_what_an_interrupted_backup_has_stored_stays(self):
        _, job = self.backup(os.urandom(64 * CHUNK))
        with mock.patch.object(
            backup,
            '_commit',
            side_effect=repository_errors.StorageUnavailable('away'),
        ):
            self.assertEqual(('pending', None), self.run_job(job))
        self.assertNotEqual(set(), self.fixture.objects())

    def test_every_kind_of_job_is_known(self):
        image, job = self.backup()
        self.run_job(job)
        found = images.show(self.catalog, image.id)
        target = self.fixture.write_volume(b'', 'target')
        restore = self.fixture.restore(found)
        self.fixture.attach(restore.id, target)
        begin = (
            lambda: restore,
            lambda: images.delete(self.catalog, image.id),
            lambda: repositories.collect(self.catalog, 'default'),
            lambda: repositories.check(self.catalog, 'default'),
        )
        for function in begin:
            self.ended.clear()
            job = self.job(self.fixture.spec(function().id))
            self.assertEqual(('succeeded', None), self.run_job(job))

    def test_cancelled_before_it_began(self):
        _, job = self.backup()
        jobs.cancel(self.catalog, job.spec.id)
        self.assertEqual(('cancelled', 'cancelled'), self.run_job(job))
        self.assertIsNone(self.fixture.job(job.spec.id).started_at)

    def test_stopped_by_the_server_before_it_began_is_not_begun(self):
        _, job = self.backup()
        with self.catalog.writer() as session:
            catalog_fixture.job_rows.update(
                session, job.spec.id, ('running',), beat_at=0
            )
        self.assertEqual(('pending', None), self.run_job(job))
        self.assertEqual(set(), self.fixture.objects())

    def test_proxy_that_stops_gives_it_back(self):
        _, job = self.backup()
        job.stop('proxy-stopping', 'why', True)
        self.assertEqual(('pending', None), self.run_job(job))

    def test_message_of_an_older_token_is_ignored(self):
        _, job = self.backup()
        self.fixture.finish(job.spec, 'returned')
        newer = self.fixture.spec(job.spec.id)
        self.assertEqual(job.spec.token + 1, newer.token)
        self.assertEqual(('running', None), self.run_job(job))
        self.assertEqual(set(), self.fixture.objects())

    def test_cancelled_while_it_runs(self):
        self.fixture.conf.set_override('max_bytes_per_second', 1, 'proxy')
        image, job = self.backup(os.urandom(8 * 2**20))
        job.start()
        catalog_fixture.wait_for(
            lambda: self.fixture.job(job.spec.id).progress, 'progress'
        )
        jobs.cancel(self.catalog, job.spec.id, 'Not today.')
        self.assertTrue(self.ended.wait(catalog_fixture.PATIENCE))
        found = self.fixture.job(job.spec.id)
        self.assertEqual('cancelled', found.state)
        self.assertEqual('Not today.', found.error['message'])
        self.assertEqual(set(), self.fixture.objects())
        self.assertEqual('error', self.fixture.image(image.id).state)

    def test_driver_that_is_silent_while_it_runs(self):
        override = self.fixture.conf.set_override
        override('max_bytes_per_second', 1, 'proxy')
        image, job = self.backup(os.urandom(8 * 2**20))
        override('heartbeat_timeout', 3.0, 'server')
        jobs.beat(self.catalog, job.spec.id)
        job.start()
        self.assertTrue(self.ended.wait(catalog_fixture.PATIENCE))
        self.assertEqual('pending', self.fixture.job(job.spec.id).state)
        # It beats again.
        self.ended.clear()
        override('max_bytes_per_second', 0, 'proxy')
        override('heartbeat_timeout', catalog_fixture.PATIENCE, 'server')
        jobs.beat(self.catalog, job.spec.id)
        again = self.job(self.fixture.spec(job.spec.id))
        self.assertEqual(('succeeded', None), self.run_job(again))
        self.assertEqual('available', self.fixture.image(image.id).state)

    def test_report_is_repeated_until_the_server_has_it(self):
        _, job = self.backup()
        down = self.fixture.bus.break_down_for('finish', times=2)
        self.assertEqual(('succeeded', None), self.run_job(job))
        self.assertEqual(0, down.left)

    def test_report_that_nobody_takes_is_given_up_when_told(self):
        _, job = self.backup()
        self.fixture.bus.break_down_for('finish', times=1000)
        job.start()
        catalog_fixture.wait_for(
            lambda: self.fixture.image(job.spec.image.id).root, 'commit'
        )
        job.give_up()
        self.assertTrue(self.ended.wait(catalog_fixture.PATIENCE))
        self.assertEqual('running', self.fixture.job(job.spec.id).state)
