# SPDX-License-Identifier: Apache-2.0

import itertools
import time

import fixtures

from ebackup_service.engine import control
from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.proxy import lease
from ebackup_service.proxy import task as proxy_task
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server import jobs
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture


class TestLeaseKeeper(base.BaseTestCase):
    """With short leases, that a busy machine renews in time nevertheless."""

    LEASE = 3.0  # seconds

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(
            proxy_fixture.Proxy({'server': {'lease': self.LEASE}})
        )
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()
        _, job = self.fixture.reserve()
        self.fixture.attach(job.id)
        self.spec = self.fixture.spec(job.id)
        self.task = proxy_task.Task(
            self.fixture.conf,
            self.spec,
            self.fixture.server,
            throttle.Limiter(0),
            places.Places(1).share(),
        )
        self.keeper = lease.LeaseKeeper(self.task)
        self.addCleanup(self.keeper.end)

    def stopped(self):
        try:
            self.task.control.check()
        except control.JobStopped as error:
            return error
        return None

    def wait_until_stopped(self):
        return catalog_fixture.wait_for(self.stopped, 'stop')

    def test_clock_of_the_host_does_not_matter(self):
        leaps = itertools.cycle((-1e6, 1e6))
        self.useFixture(
            fixtures.MockPatch('time.time', lambda: 1.7e9 + next(leaps))
        )
        self.assertTrue(self.keeper.begin())
        first = self.fixture.job(self.spec.id).lease_until
        catalog_fixture.wait_for(
            lambda: self.fixture.job(self.spec.id).lease_until > first,
            'a renewal',
        )
        self.task.control.check()
        self.fixture.bus.break_down()
        self.assertIsInstance(self.wait_until_stopped(), control.LeaseLost)

    def test_job_may_go_on_as_long_as_it_is_renewed(self):
        began = time.monotonic()
        self.assertTrue(self.keeper.begin())
        first = self.fixture.job(self.spec.id).lease_until
        later = first + clock.milliseconds(1.5 * self.LEASE)
        catalog_fixture.wait_for(
            lambda: self.fixture.job(self.spec.id).lease_until > later,
            'renewals',
        )
        self.assertGreater(time.monotonic() - began, self.LEASE)
        self.task.control.check()
        self.assertIsNone(self.keeper.stop_reason)

    def test_deadline_is_before_the_servers(self):
        self.assertTrue(self.keeper.begin())
        self.keeper.end()
        until = self.fixture.job(self.spec.id).lease_until
        while True:
            with self.catalog.reader() as session:
                now = clock.read(session)
            if self.stopped():
                break
            # the job still went on after that instant
            self.assertLess(now, until)

    def test_job_stops_by_itself_when_the_server_is_silent(self):
        self.assertTrue(self.keeper.begin())
        self.fixture.bus.break_down()
        error = self.wait_until_stopped()
        self.assertIsInstance(error, control.LeaseLost)
        self.assertIsNone(self.keeper.stop_reason)

    def test_cancelled_job_stops(self):
        self.assertTrue(self.keeper.begin())
        jobs.cancel(self.catalog, self.spec.id, 'Not today.')
        self.wait_until_stopped()
        reason = self.keeper.stop_reason
        self.assertEqual(
            ('cancelled', 'Not today.', False),
            (reason.kind, reason.message, reason.retryable),
        )

    def test_job_whose_driver_is_gone_stops(self):
        self.assertTrue(self.keeper.begin())
        with self.catalog.writer() as session:
            catalog_fixture.job_rows.update(
                session, self.spec.id, ('running',), beat_at=0
            )
        self.wait_until_stopped()
        reason = self.keeper.stop_reason
        self.assertEqual(
            ('heartbeat-lost', True), (reason.kind, reason.retryable)
        )

    def test_job_that_was_given_up_stops(self):
        self.assertTrue(self.keeper.begin())
        self.fixture.finish(self.spec, 'failed')
        self.wait_until_stopped()
        self.assertEqual('lease-lost', self.keeper.stop_reason.kind)

    def test_first_reason_is_the_one_that_counts(self):
        self.keeper.stop_job('proxy-stopping', 'first', True)
        self.keeper.stop_job('cancelled', 'second', False)
        self.assertEqual('first', self.keeper.stop_reason.message)

    def test_progress_is_told(self):
        self.task.snapshot = lambda: {'percent': 42}
        self.assertTrue(self.keeper.begin())
        catalog_fixture.wait_for(
            lambda: self.fixture.job(self.spec.id).progress,
            'progress',
        )

    def test_connection_is_used_once_the_server_knows_of_it(self):
        self.assertTrue(self.keeper.begin())
        connection = messages.Connection('local', {})
        handover = self.task.handover
        handover.give(connection)
        found = handover.wait(
            catalog_fixture.PATIENCE, self.task.control.check
        )
        self.assertEqual(connection, found)

    def test_job_that_was_cancelled_already_does_not_begin(self):
        jobs.cancel(self.catalog, self.spec.id)
        self.assertFalse(self.keeper.begin())
        # It has ended: the run that might have been is nobody's any more.
        self.assertEqual('lease-lost', self.keeper.stop_reason.kind)
        self.assertEqual('cancelled', self.fixture.job(self.spec.id).state)

    def test_job_that_was_told_to_stop_does_not_begin(self):
        self.keeper.stop_job('proxy-stopping', 'why', True)
        self.assertFalse(self.keeper.begin())
        self.assertIsNone(self.fixture.job(self.spec.id).started_at)

    def test_job_does_not_begin_without_a_server(self):
        self.fixture.bus.break_down()
        self.assertFalse(self.keeper.begin())
        self.assertIsNone(self.keeper.stop_reason)
        self.assertIsNotNone(self.stopped())
