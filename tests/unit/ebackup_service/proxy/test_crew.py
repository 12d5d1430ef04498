# SPDX-License-Identifier: Apache-2.0

import os
import time

from ebackup_service.proxy import crew as proxy_crew
from ebackup_service.server import jobs
from ebackup_service.server import leases
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import faulty_fixture
from tests.unit.ebackup_service import proxy_fixture

MIB = 2**20


class TestCrew(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.fixture.create_repository()
        self.crew = proxy_crew.Crew(self.fixture.conf, self.fixture.server, [])
        self.addCleanup(self.crew.finish, 0)

    def spec(self, size=100):
        path = self.fixture.write_volume(
            os.urandom(size), catalog_fixture.new_id()
        )
        _, job = self.fixture.reserve(size=size)
        self.fixture.attach(job.id, path)
        return self.fixture.spec(job.id)

    def endless(self):
        """A job that would take weeks, as soon as it has begun."""
        self.fixture.conf.set_override('max_bytes_per_second', 1, 'proxy')
        self.crew = proxy_crew.Crew(self.fixture.conf, self.fixture.server, [])
        self.addCleanup(self.crew.finish, 0)
        spec = self.spec(8 * MIB)
        self.crew.start(spec)
        catalog_fixture.wait_for(
            lambda: self.fixture.job(spec.id).started_at, 'begin'
        )
        return spec

    def wait_for(self, spec):
        catalog_fixture.wait_for(lambda: spec.id not in self.crew.ids(), 'end')
        found = self.fixture.job(spec.id)
        return found.state, found.error and found.error['kind']

    def test_fewer_jobs_where_volumes_may_be_in_ceph(self):
        self.assertEqual(4, self.crew.max_jobs)
        crew = proxy_crew.Crew(
            *(self.fixture.conf, self.fixture.server, ['attached', 'rbd'])
        )
        self.assertEqual(2, crew.max_jobs)

    def test_job_runs_and_is_forgotten(self):
        spec = self.spec()
        self.crew.start(spec)
        self.assertEqual(('succeeded', None), self.wait_for(spec))

    def test_message_that_comes_twice_begins_one_job(self):
        spec = self.endless()
        self.crew.start(spec)
        self.assertEqual([spec.id], self.crew.ids())
        self.crew.cancel(spec.id, spec.token, 'enough')
        self.wait_for(spec)

    def test_cancelled_job_ends_at_once(self):
        spec = self.endless()
        began = time.monotonic()
        self.crew.cancel(spec.id, spec.token, 'Not today.')
        self.assertEqual(('cancelled', 'cancelled'), self.wait_for(spec))
        self.assertLess(time.monotonic() - began, 5)

    def test_cancellation_of_another_run_is_ignored(self):
        spec = self.endless()
        self.crew.cancel(spec.id, spec.token - 1, 'Not today.')
        self.crew.cancel(catalog_fixture.new_id(), 1, 'Not today.')
        self.assertEqual('running', self.fixture.job(spec.id).state)
        self.assertEqual([spec.id], self.crew.ids())

    def test_job_that_ends_in_time_is_finished_at_the_stop(self):
        spec = self.spec()
        self.crew.start(spec)
        self.crew.close()
        self.crew.finish(30)
        self.assertEqual(('succeeded', None), self.wait_for(spec))

    def test_job_that_takes_longer_is_stopped_and_given_back(self):
        spec = self.endless()
        self.crew.close()
        began = time.monotonic()
        self.crew.finish(0.1)
        self.assertLess(time.monotonic() - began, 8)
        self.assertEqual(('pending', None), self.wait_for(spec))

    def test_job_that_comes_after_the_close_is_given_back(self):
        spec = self.spec()
        self.crew.close()
        self.assertTrue(self.crew.stopping)
        self.crew.start(spec)
        self.assertEqual(('pending', None), self.wait_for(spec))

    def test_job_that_can_not_be_reported_does_not_hold_up_the_stop(self):
        spec = self.spec()
        self.fixture.bus.break_down_for('finish', times=1000)
        self.crew.start(spec)
        self.crew.close()
        began = time.monotonic()
        self.crew.finish(0.1)
        self.assertLess(time.monotonic() - began, 12)
        catalog_fixture.wait_for(lambda: not self.crew.ids(), 'end')
        self.assertEqual('running', self.fixture.job(spec.id).state)


class TestHang(base.BaseTestCase):
    """A run hangs in a storage, and its job is handed out again."""

    def setUp(self):
        super().setUp()
        faulty = self.useFixture(faulty_fixture.FaultyDirectory())
        self.fixture = self.useFixture(
            proxy_fixture.Proxy({'server': {'max_runs': 2}})
        )
        self.fixture.url = f'file://{faulty.path}/repository'
        self.fixture.create_repository()
        self.crew = proxy_crew.Crew(self.fixture.conf, self.fixture.server, [])
        self.addCleanup(self.crew.finish, 0)
        path = self.fixture.write_volume(os.urandom(MIB))
        _, self.job = self.fixture.reserve(size=MIB)
        self.fixture.attach(self.job.id, path)
        faulty.hang('write', self.job.id)
        self.addCleanup(faulty.mend)
        self.crew.start(self.fixture.spec(self.job.id))
        catalog_fixture.wait_for(lambda: faulty.hanging, 'a hang')

    def expire(self):
        self.fixture.age(self.job.id, 18)
        jobs.beat(self.fixture.catalog, self.job.id)
        leases.expire(self.fixture.catalog, self.fixture.conf)
        return self.fixture.job(self.job.id)

    def test_the_job_fails_in_the_end(self):
        self.assertEqual('pending', self.expire().state)
        for state in 'pending', 'pending', 'failed':
            self.crew.start(self.fixture.spec(self.job.id))
            self.assertEqual([self.job.id], self.crew.ids())
            self.assertEqual(state, self.expire().state)
        failed = self.fixture.job(self.job.id)
        self.assertEqual(
            (1, 'proxy-lost'), (failed.runs, failed.error['kind'])
        )
        self.assertIn(f'Proxy {failed.proxy} did not', failed.error['message'])
