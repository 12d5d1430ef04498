# SPDX-License-Identifier: Apache-2.0

import fixtures

from ebackup_service.proxy import failures
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import clock_fixture


class LeasesTestCase(base.BaseTestCase):
    """With the default options: lease 15 s, heartbeat 10 s."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.conf = self.fixture.conf
        self.conf.set_override('heartbeat_timeout', 10.0, 'server')
        self.fixture.make_repository()
        self.image, self.job = self.fixture.reserve()

    def collect(self):
        return repositories.collect(self.catalog, 'default')

    def renew(self, spec, progress=None, token=None):
        return leases.renew(
            self.catalog,
            self.conf,
            spec.id,
            spec.token if token is None else token,
            progress or {},
        )

    def expire(self):
        leases.expire(self.catalog, self.conf)

    def state(self, job):
        found = self.fixture.job(job.id)
        kind = found.error['kind'] if found.error else None
        return found.state, kind


class TestRenew(LeasesTestCase):
    def refused(self, reason, grant):
        self.assertEqual((False, reason), (grant.granted, grant.reason))

    def test_job_without_driver_gets_a_whole_lease(self):
        spec = self.fixture.run(self.collect().id)
        grant = self.renew(spec)
        self.assertEqual((True, 15.0), (grant.granted, grant.seconds))

    def test_lease_never_reaches_beyond_the_beat(self):
        spec = self.fixture.run(self.job.id)
        grant = self.renew(spec)
        self.assertTrue(grant.granted)
        self.assertGreater(grant.seconds, 8.0)
        self.assertLessEqual(grant.seconds, 10.0)
        beat_at = self.fixture.job(spec.id).beat_at
        self.assertLessEqual(
            self.fixture.job(spec.id).lease_until, beat_at + 10000
        )

    def test_first_renewal_is_the_start(self):
        self.fixture.announce()
        self.fixture.attach(self.job.id)
        spec = self.fixture.assign()[self.job.id]
        self.assertIsNone(self.fixture.job(spec.id).started_at)
        self.renew(spec)
        started = self.fixture.job(spec.id).started_at
        self.assertIsNotNone(started)
        self.renew(spec)
        self.assertEqual(started, self.fixture.job(spec.id).started_at)

    def test_progress_is_kept_until_there_is_more(self):
        spec = self.fixture.run(self.job.id)
        self.renew(spec, {'percent': 50})
        self.renew(spec)
        self.assertEqual({'percent': 50}, self.fixture.job(spec.id).progress)

    def test_older_token_gets_nothing(self):
        spec = self.fixture.run(self.job.id)
        self.refused('lease-lost', self.renew(spec, token=spec.token - 1))

    def test_lease_that_is_over_is_not_revived(self):
        spec = self.fixture.run(self.collect().id)
        self.fixture.age(spec.id, 15)
        self.refused('lease-lost', self.renew(spec))

    def test_job_that_ended_gets_nothing(self):
        spec = self.fixture.run(self.job.id)
        self.fixture.finish(spec, 'failed')
        self.refused('lease-lost', self.renew(spec))

    def test_unknown_job_gets_nothing(self):
        grant = leases.renew(self.catalog, self.conf, 'none', 1, {})
        self.refused('lease-lost', grant)

    def test_cancelled_job_gets_the_reason(self):
        spec = self.fixture.run(self.job.id)
        jobs.cancel(self.catalog, spec.id, 'Not today.')
        grant = self.renew(spec)
        self.refused('cancelled', grant)
        self.assertEqual('Not today.', grant.message)

    def test_lease_that_ended_with_the_beat_says_so(self):
        spec = self.fixture.run(self.job.id)
        self.fixture.age(self.job.id, 11)
        self.refused('heartbeat-lost', self.renew(spec))

    def test_without_the_drivers_beat_there_is_no_lease(self):
        spec = self.fixture.run(self.job.id)
        with self.catalog.writer() as session:
            catalog_fixture.job_rows.update(
                session,
                spec.id,
                ('running',),
                beat_at=catalog_fixture.models.Job.beat_at - 10000,
            )
        self.refused('heartbeat-lost', self.renew(spec))
        jobs.beat(self.catalog, spec.id)
        self.assertTrue(self.renew(spec).granted)


class TestExplain(LeasesTestCase):
    def explain(self, kind='lease-lost'):
        with self.catalog.reader() as session:
            now = clock.read(session)
        error = messages.JobError(kind, 'The lease ended.', True)
        job = self.fixture.job(self.job.id)
        return leases.explain(self.conf, job, error, now).kind

    def test_lease_was_lost_as_the_driver_was(self):
        self.fixture.age(self.job.id, 9)
        self.assertEqual('heartbeat-lost', self.explain())

    def test_lease_was_lost_though_the_driver_was_there(self):
        self.assertEqual('lease-lost', self.explain())

    def test_anything_else_is_left_as_it_is(self):
        self.fixture.age(self.job.id, 9)
        self.assertEqual('path-busy', self.explain('path-busy'))

    def test_job_without_driver(self):
        self.job = self.collect()
        self.assertEqual('lease-lost', self.explain())


class TestExpire(LeasesTestCase):
    def test_nothing_to_do(self):
        jobs.cancel(self.catalog, self.job.id)
        self.expire()
        self.assertEqual(('cancelled', 'cancelled'), self.state(self.job))

    def test_jobs_in_time_are_left_alone(self):
        other, waiting = self.fixture.reserve()
        spec = self.fixture.run(self.job.id)
        self.expire()
        self.assertEqual(('running', None), self.state(spec))
        self.assertEqual(('pending', None), self.state(waiting))

    def test_pending_job_whose_driver_was_cut_off_waits(self):
        self.fixture.attach(self.job.id)
        self.fixture.age(self.job.id, 59)
        self.expire()
        self.fixture.announce()
        self.assertEqual({}, self.fixture.assign())
        jobs.beat(self.catalog, self.job.id)
        self.assertEqual([self.job.id], list(self.fixture.assign()))

    def test_pending_job_whose_driver_is_gone_fails(self):
        self.fixture.age(self.job.id, 61)
        self.expire()
        self.assertEqual(('failed', 'heartbeat-lost'), self.state(self.job))
        image = self.fixture.image(self.image.id)
        self.assertEqual('error', image.state)
        self.assertIn('cinder-backup', image.error['message'])

    def test_driver_that_beats_but_never_says_where_fails(self):
        self.fixture.age(self.job.id, 61)
        jobs.beat(self.catalog, self.job.id)
        self.expire()
        self.assertEqual(
            ('failed', 'attachment-timeout'), self.state(self.job)
        )

    def test_job_with_attachment_may_wait_for_room_as_long_as_it_beats(self):
        self.fixture.attach(self.job.id)
        self.fixture.age(self.job.id, 3600)
        jobs.beat(self.catalog, self.job.id)
        self.expire()
        self.assertEqual(('pending', None), self.state(self.job))

    def test_pending_job_without_driver_may_wait(self):
        gc = self.collect()
        self.fixture.age(gc.id, 3600)
        self.expire()
        self.assertEqual(('pending', None), self.state(gc))

    def lose(self):
        """The job runs, and neither proxy nor driver are heard of again."""
        spec = self.fixture.run(self.job.id)
        self.fixture.age(spec.id, 18)
        return spec

    def test_job_of_a_lost_proxy_waits_for_another_run(self):
        spec = self.lose()
        jobs.beat(self.catalog, spec.id)
        self.expire()
        self.assertEqual(('pending', None), self.state(spec))
        self.assertFalse(self.renew(spec).granted)
        again = self.fixture.run(spec.id)
        self.assertEqual(spec.token + 1, again.token)
        self.assertTrue(self.renew(again).granted)

    def test_job_whose_proxy_and_driver_are_silent_waits_for_both(self):
        spec = self.lose()
        self.expire()
        self.fixture.announce()
        self.assertEqual({}, self.fixture.assign())
        self.fixture.age(spec.id, 40)
        self.expire()
        self.assertEqual(('pending', None), self.state(spec))
        jobs.beat(self.catalog, spec.id)
        self.assertEqual([spec.id], list(self.fixture.assign()))

    def test_interrupted_job_whose_driver_stays_away_fails(self):
        spec = self.lose()
        self.expire()
        self.fixture.age(spec.id, 60)
        self.expire()
        self.assertEqual(('failed', 'heartbeat-lost'), self.state(spec))

    def test_lost_proxy_is_named(self):
        self.conf.set_override('max_runs', 2, 'server')
        for _ in range(2):
            spec = self.lose()
            jobs.beat(self.catalog, spec.id)
            self.expire()
        self.assertEqual(('failed', 'proxy-lost'), self.state(spec))
        error = self.fixture.job(spec.id).error
        self.assertIn('Proxy here', error['message'])
        self.assertTrue(error['retryable'])

    def test_margin_passes_before_a_job_is_given_up(self):
        # Longer than the machine may be busy with something else.
        self.useFixture(fixtures.MockPatchObject(leases, 'MARGIN', 60.0))
        spec = self.fixture.run(self.job.id)
        for seconds, state in ((16, 'running'), (60, 'pending')):
            self.fixture.age(spec.id, seconds)
            jobs.beat(self.catalog, spec.id)
            self.expire()
            self.assertEqual((state, None), self.state(spec))

    def test_cancelled_job_of_a_lost_proxy_is_cancelled(self):
        spec = self.fixture.run(self.job.id)
        jobs.cancel(self.catalog, spec.id)
        self.fixture.age(spec.id, 18)
        self.expire()
        self.assertEqual(('cancelled', 'cancelled'), self.state(spec))

    def test_job_that_no_proxy_took_up_waits_again(self):
        self.fixture.announce()
        gc = self.collect()
        first = self.fixture.assign()[gc.id]
        self.fixture.age(gc.id, 18)
        self.expire()
        self.assertEqual(('pending', None), self.state(gc))
        again = self.fixture.assign()[gc.id]
        self.assertEqual(first.token + 1, again.token)
        self.assertFalse(self.renew(first).granted)
        self.assertTrue(self.renew(again).granted)

    def hand_out_in_vain(self, job):
        self.fixture.announce()
        self.assertEqual([job.id], list(self.fixture.assign()))
        self.fixture.age(job.id, 18)
        self.expire()

    def give_up_after_three(self, job):
        """Hand a job out in vain until it fails; its error."""
        for _ in range(2):
            self.hand_out_in_vain(job)
            self.assertEqual(('pending', None), self.state(job))
        self.hand_out_in_vain(job)
        self.assertEqual(('failed', 'proxy-lost'), self.state(job))
        return self.fixture.job(job.id).error

    def test_job_that_no_proxy_takes_up_fails_in_the_end(self):
        """What a run that had begun has lost is not counted."""
        self.conf.set_override('max_runs', 2, 'server')
        gc = self.collect()
        self.fixture.run(gc.id)
        self.fixture.age(gc.id, 18)
        self.expire()
        error = self.give_up_after_three(gc)
        self.assertIn('Proxy here did not take up', error['message'])
        self.assertIn('in vain 3 times', error['message'])
        self.assertTrue(error['retryable'])

    def test_what_a_stopping_proxy_gives_back_is_not_in_vain(self):
        self.conf.set_override('max_runs', 2, 'server')
        gc = self.collect()
        self.fixture.announce()
        stopping = messages.JobError('proxy-stopping', 'Stopped.', True)
        for _ in range(5):
            spec = self.fixture.assign()[gc.id]
            self.fixture.finish(spec, 'returned', error=stopping)
            self.assertEqual(('pending', None), self.state(gc))
            # That it counts for nothing must not make it endless at once.
            self.assertEqual({}, self.fixture.assign())
            self.fixture.age(gc.id, 6)
        error = self.give_up_after_three(gc)
        self.assertIn('in vain 3 times', error['message'])


class TestOutage(LeasesTestCase):
    """Of the database, or of all APIs: nobody could beat or renew.

    What is the first to happen then has not heard of the driver yet.
    """

    def setUp(self):
        super().setUp()
        self.clock = self.useFixture(clock_fixture.DatabaseClock(self.catalog))
        self.spec = self.fixture.run(self.job.id)

    def last(self, seconds):
        self.clock.ahead += seconds
        self.expire()

    def goes_on(self):
        """When the driver beats again, and the proxy shows up."""
        self.assertEqual(('pending', None), self.state(self.job))
        jobs.beat(self.catalog, self.job.id)
        self.fixture.announce()
        again = self.fixture.assign()[self.job.id]
        self.assertTrue(self.renew(again).granted)
        self.assertTrue(self.fixture.commit(again).accepted)
        self.assertTrue(self.fixture.finish(again, result={}).accepted)
        self.assertEqual('available', self.fixture.image(self.image.id).state)

    def test_job_goes_on(self):
        self.last(50)
        self.assertFalse(self.renew(self.spec).granted)
        self.goes_on()

    def test_job_goes_on_where_its_proxy_is_heard_first(self):
        self.clock.ahead += 50
        grant = self.renew(self.spec)
        error = messages.JobError(grant.reason, grant.message, True)
        self.fixture.finish(self.spec, failures.state(error), error=error)
        self.goes_on()

    def test_job_that_had_not_begun_goes_on(self):
        self.image, self.job = self.fixture.reserve()
        self.fixture.attach(self.job.id)
        self.last(50)
        self.goes_on()

    def test_job_whose_driver_did_not_survive_it_ends(self):
        self.last(50)
        self.last(11)
        self.assertEqual(('failed', 'heartbeat-lost'), self.state(self.job))
        self.assertEqual('error', self.fixture.image(self.image.id).state)


class TestDisplace(LeasesTestCase):
    def setUp(self):
        super().setUp()
        self.clock = self.useFixture(clock_fixture.DatabaseClock(self.catalog))
        self.fixture.attach(self.job.id)

    def displace(self):
        with self.catalog.writer() as session:
            job = self.fixture.job(self.job.id)
            return leases.displace(session, self.conf, job)

    def test_job_whose_driver_beats_stays(self):
        self.clock.ahead += 9
        self.assertFalse(self.displace())
        self.assertEqual(('pending', None), self.state(self.job))

    def test_job_that_waits_for_a_silent_driver_ends(self):
        self.clock.ahead += 11
        self.assertTrue(self.displace())
        self.assertEqual(('failed', 'heartbeat-lost'), self.state(self.job))
        self.assertEqual('error', self.fixture.image(self.image.id).state)

    def test_job_that_a_proxy_may_be_working_on_stays(self):
        self.fixture.run(self.job.id)
        self.clock.ahead += 3600
        self.assertFalse(self.displace())
        self.assertEqual(('running', None), self.state(self.job))

    def test_job_without_driver_stays(self):
        self.job = self.collect()
        self.clock.ahead += 3600
        self.assertFalse(self.displace())
        self.assertEqual(('pending', None), self.state(self.job))
