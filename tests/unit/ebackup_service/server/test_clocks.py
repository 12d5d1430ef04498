# SPDX-License-Identifier: Apache-2.0

from unittest import mock

import fixtures

from ebackup_service.proxy import failures
from ebackup_service.rpc import clients
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server import clocks
from ebackup_service.server import dispatch
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import proxies
from ebackup_service.server import repositories
from ebackup_service.server import service as server_service
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import clock_fixture
from tests.unit.ebackup_service import service_fixture

DAY = 24 * 3600.0


class ClockTestCase(base.BaseTestCase):
    """With the default options: lease 15 s, heartbeat 10 s."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.conf = self.fixture.conf
        self.conf.set_override('heartbeat_timeout', 10.0, 'server')
        self.clock = self.useFixture(clock_fixture.DatabaseClock(self.catalog))


class TestBringBack(ClockTestCase):
    def setUp(self):
        super().setUp()
        self.fixture.make_repository()

    def set_back(self, seconds=DAY):
        self.clock.ahead -= seconds
        clocks.bring_back(self.catalog, self.conf)

    def expire_after(self, seconds):
        self.clock.ahead += seconds
        leases.expire(self.catalog, self.conf)

    def state(self, job):
        return self.fixture.job(job.id).state

    def test_job_goes_on(self):
        _, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        self.set_back()
        grant = leases.renew(self.catalog, self.conf, job.id, spec.token, {})
        self.assertTrue(grant.granted)
        self.assertLessEqual(grant.seconds, self.conf.server.lease)
        self.assertTrue(self.fixture.commit(spec).accepted)
        self.assertTrue(self.fixture.finish(spec, result={}).accepted)

    def test_job_of_a_lost_proxy_is_taken_back(self):
        job = repositories.collect(self.catalog, 'default')
        self.fixture.run(job.id)
        self.set_back()
        self.expire_after(130)
        self.assertEqual('running', self.state(job))
        self.expire_after(10)
        self.assertEqual('pending', self.state(job))

    def test_job_whose_driver_is_gone_ends(self):
        _, job = self.fixture.reserve()
        self.set_back()
        self.expire_after(59)
        self.assertEqual('pending', self.state(job))
        self.expire_after(2)
        self.assertEqual('failed', self.state(job))

    def test_what_is_ready_is_handed_out(self):
        _, job = self.fixture.reserve()
        self.fixture.attach(job.id)
        self.set_back()
        jobs.beat(self.catalog, job.id)
        self.fixture.announce()
        self.assertEqual([job.id], [*self.fixture.assign()])

    def test_proxy_that_is_gone_gets_nothing(self):
        self.fixture.announce()
        self.set_back()
        self.clock.ahead += self.conf.server.proxy_timeout + 1
        [status] = proxies.list(self.catalog, self.conf)
        self.assertFalse(status.alive)

    def test_what_is_as_it_should_be_stays(self):
        _, job = self.fixture.reserve()
        self.fixture.run(job.id)
        before = self.fixture.job(job.id)
        clocks.bring_back(self.catalog, self.conf)
        self.assertEqual(before, self.fixture.job(job.id))

    def test_lease_that_is_a_little_longer_is_waited_out(self):
        job = repositories.collect(self.catalog, 'default')
        self.fixture.run(job.id)
        before = self.fixture.job(job.id)
        self.set_back(60)
        self.assertEqual(before, self.fixture.job(job.id))

    def renew(self, spec):
        return leases.renew(self.catalog, self.conf, spec.id, spec.token, {})

    def test_beat_counts_no_longer(self):
        for seconds in 2, 60, 120, DAY:
            _, job = self.fixture.reserve()
            spec = self.fixture.run(job.id)
            self.set_back(seconds)
            self.clock.ahead += 9
            grant = self.renew(spec)
            self.assertTrue(grant.granted)
            self.assertLessEqual(grant.seconds, 1)
            self.clock.ahead += 1
            self.assertEqual('heartbeat-lost', self.renew(spec).reason)

    def test_beat_counts_no_longer_before_a_server_has_looked(self):
        _, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        self.clock.ahead -= 60
        self.assertLessEqual(self.renew(spec).seconds, 10)


class TestWatch(ClockTestCase):
    def setUp(self):
        super().setUp()
        self.now = 100.0
        self.watch = clocks.Watch(17.0, lambda: self.now)
        self.watch.look(self.catalog)

    def look_after(self, monotonic, database):
        """Whether it can be trusted when that many seconds have passed."""
        self.now += monotonic
        self.clock.ahead += database
        return self.watch.look(self.catalog) is not None

    def test_clocks_that_run_alike(self):
        for _ in range(3):
            self.assertTrue(self.look_after(5.0, 5.0))

    def test_it_shows_what_the_database_does(self):
        with self.catalog.reader() as session:
            before = clock.read(session)
            now = self.watch.look(self.catalog)
            self.assertTrue(before <= now <= clock.read(session))

    def test_set_forward_nobody_is_given_up_for_a_lease(self):
        self.assertFalse(self.look_after(1.0, DAY))
        self.assertFalse(self.look_after(16.5, 16.5))
        self.assertTrue(self.look_after(1.0, 1.0))

    def test_set_back_nothing_is_over_too_early(self):
        self.assertTrue(self.look_after(1.0, -DAY))

    def test_what_is_before_the_first_look_is_not_seen(self):
        self.look_after(5.0, 5.0)
        self.assertEqual(5.0, self.watch.looked)
        self.assertEqual(0.0, clocks.Watch(17.0, lambda: self.now).looked)

    def test_server_that_was_suspended(self):
        # Its monotonic clock may stand still then.
        self.assertFalse(self.look_after(0.0, 60.0))


class TestSetForward(base.BaseTestCase):
    """A server that ticks only when a test says so."""

    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MockPatchObject(
                server_service.ServerService, '_tick_until_stopped'
            )
        )
        self.fixture = self.useFixture(service_fixture.Service(proxy=False))
        self.catalog = self.fixture.catalog
        self.clock = self.useFixture(clock_fixture.DatabaseClock(self.catalog))
        self.fixture.make_repository()
        self.have_looked(3600.0)
        self.fixture.server.tick()

    def have_looked(self, seconds):
        self.useFixture(
            fixtures.MockPatchObject(clocks.Watch, 'looked', seconds)
        )

    def leap(self):
        self.clock.ahead += DAY
        self.fixture.server.tick()

    def test_proxy_stops_before_its_job_is_given_up(self):
        job = repositories.collect(self.catalog, 'default')
        spec = self.fixture.run(job.id)
        self.leap()
        self.assertEqual('running', self.fixture.job(job.id).state)
        grant = leases.renew(
            self.catalog, self.fixture.conf, job.id, spec.token, {}
        )
        self.assertEqual((False, 'lease-lost'), (grant.granted, grant.reason))

    def test_server_that_started_after_it_gives_nobody_up_for_a_lease(self):
        _, waiting = self.fixture.reserve()
        running = repositories.collect(self.catalog, 'default')
        self.fixture.run(running.id)
        self.clock.ahead += DAY
        server = self.fixture.start_server()
        for seconds, states in (
            (0.0, ('pending', 'running')),
            (16.9, ('pending', 'running')),
            (17.1, ('failed', 'pending')),
        ):
            self.have_looked(seconds)
            server.tick()
            found = tuple(
                self.fixture.job(job.id).state for job in (waiting, running)
            )
            self.assertEqual(states, found, seconds)

    def leap_right_after_a_look(self):
        look = clocks.Watch.look

        def leaping(watch, catalog):
            shown = look(watch, catalog)
            self.clock.ahead += DAY
            return shown

        with mock.patch.object(clocks.Watch, 'look', leaping):
            self.fixture.server.tick()

    def test_nobody_is_given_up_where_the_clock_leaps_in_between(self):
        """What follows in the same tick sees the time leap, too."""
        _, waiting = self.fixture.reserve()
        running = repositories.collect(self.catalog, 'default')
        self.fixture.run(running.id)
        self.leap_right_after_a_look()
        self.assertEqual('running', self.fixture.job(running.id).state)
        self.assertEqual('pending', self.fixture.job(waiting.id).state)

    def test_no_proxy_is_gone_where_the_clock_leaps_in_between(self):
        self.fixture.announce()
        _, job = self.fixture.reserve()
        self.fixture.attach(job.id, host='elsewhere')
        self.leap_right_after_a_look()
        self.assertEqual('pending', self.fixture.job(job.id).state)

    def test_jobs_that_wait_do_not_fail_for_want_of_a_proxy(self):
        self.fixture.announce()
        _, job = self.fixture.reserve()
        self.fixture.attach(job.id)
        self.leap()
        self.assertEqual('pending', self.fixture.job(job.id).state)
        # Everybody shows that he is there.
        jobs.beat(self.catalog, job.id)
        self.fixture.announce()
        handed = dispatch.assign(self.catalog, self.fixture.conf)
        self.assertEqual(1, len(handed))

    def ask(self, spec):
        """What the server says to the proxy of a job, that stops then."""
        client = clients.ServerClient(self.fixture.transport)
        grant = client.renew(spec.id, spec.token, {})
        error = messages.JobError(grant.reason, grant.message, True)
        outcome = failures.state(error)
        client.finish(
            spec.id, spec.token, messages.Outcome(outcome, None, error)
        )
        return grant.reason, self.fixture.job(spec.id).state

    def test_job_goes_on_where_a_proxy_asks_before_the_server_has_looked(self):
        _, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        self.clock.ahead += DAY
        self.assertEqual(('heartbeat-lost', 'pending'), self.ask(spec))
        self.fixture.server.tick()
        self.assertEqual('pending', self.fixture.job(job.id).state)
        jobs.beat(self.catalog, job.id)
        self.fixture.announce()
        self.assertEqual([job.id], [*self.fixture.assign()])
