# SPDX-License-Identifier: Apache-2.0
"""A storage that hangs takes nobody with it but who waits for it."""

import os
import threading

from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.proxy import jobs as proxy_jobs
from ebackup_service.server import jobs
from ebackup_service.server import leases
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import faulty_fixture
from tests.unit.ebackup_service import proxy_fixture

CONTENT = 4 * catalog_fixture.CHUNK


class TestHang(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.faulty = self.useFixture(faulty_fixture.FaultyDirectory())
        self.fixture = self.useFixture(
            proxy_fixture.Proxy({'server': {'lease': 2.0}})
        )
        self.catalog = self.fixture.catalog
        self.fixture.url = f'file://{self.faulty.path}/repository'
        self.fixture.create_repository()
        self.hung, self.hung_ended = self.backup('hung', CONTENT)
        self.faulty.hang('write', self.hung.spec.id)
        self.addCleanup(self.hung_ended.wait, 20)
        self.addCleanup(self.faulty.mend)
        self.hung.start()
        catalog_fixture.wait_for(lambda: self.faulty.hanging, 'a hang')

    def backup(self, name, size):
        """A job, still to be started, and what is set when it has ended."""
        path = self.fixture.write_volume(os.urandom(size), name)
        _, job = self.fixture.reserve(size=size)
        self.fixture.attach(job.id, path)
        ended = threading.Event()
        running = proxy_jobs.RunningJob(
            self.fixture.conf,
            self.fixture.spec(job.id),
            self.fixture.server,
            throttle.Limiter(self.fixture.conf.proxy.max_bytes_per_second),
            places.Places(1).share(),
            lambda job: ended.set(),
        )
        return running, ended

    def state(self, job):
        return self.fixture.job(job.spec.id).state

    def test_other_jobs_succeed(self):
        job, ended = self.backup('other', CONTENT)
        job.start()

        self.assertTrue(ended.wait(catalog_fixture.PATIENCE))
        self.assertEqual('succeeded', self.state(job))
        self.assertEqual('running', self.state(self.hung))

    def test_other_jobs_are_cancelled(self):
        self.fixture.conf.set_override('max_bytes_per_second', 1, 'proxy')
        job, ended = self.backup('slow', 8 * 2**20)
        job.start()
        catalog_fixture.wait_for(
            lambda: self.fixture.job(job.spec.id).progress, 'progress'
        )
        jobs.cancel(self.catalog, job.spec.id, 'Not today.')

        self.assertTrue(ended.wait(catalog_fixture.PATIENCE))
        self.assertEqual('cancelled', self.state(job))
        self.assertTrue(self.faulty.hanging)

    def test_hung_one_goes_on_when_the_storage_does(self):
        self.faulty.mend()

        self.assertTrue(self.hung_ended.wait(catalog_fixture.PATIENCE))
        self.assertEqual('succeeded', self.state(self.hung))

    def test_hung_one_is_cancelled_when_its_lease_is_over(self):
        """Its thread can't be stopped; what it does later doesn't count."""
        jobs.cancel(self.catalog, self.hung.spec.id, 'Not today.')

        def cancelled():
            jobs.beat(self.catalog, self.hung.spec.id)
            leases.expire(self.catalog, self.fixture.conf)
            return self.state(self.hung) == 'cancelled'

        catalog_fixture.wait_for(cancelled, 'the end')
        self.assertFalse(self.hung_ended.is_set())
        image_id = self.hung.spec.image.id
        self.assertEqual('error', self.fixture.image(image_id).state)

        self.faulty.mend()
        self.assertTrue(self.hung_ended.wait(catalog_fixture.PATIENCE))
        self.assertEqual('cancelled', self.state(self.hung))
        repository = self.fixture.open_repository()
        self.assertFalse(repository.is_marked(image_id))
