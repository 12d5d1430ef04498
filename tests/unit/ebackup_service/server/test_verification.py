# SPDX-License-Identifier: Apache-2.0

from ebackup_service.repository import sample
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from ebackup_service.server import verification
from tests import base
from tests.unit.ebackup_service import catalog_fixture

QUARTER = sample.RING // 4


class VerificationTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.repository_id = self.fixture.make_repository()

    @property
    def known(self):
        return repositories.show(self.catalog, 'default').verification


class TestRounds(VerificationTestCase):
    def check(self, fraction, state='succeeded'):
        """When it began, and what it reads."""
        job = repositories.check(self.catalog, 'default', fraction)
        spec = self.fixture.run(job.id)
        self.fixture.finish(spec, state)
        began = clock.to_milliseconds(self.fixture.job(job.id).started_at)
        found = spec.sample
        return began, found and (found.begin, found.end)

    def state(self):
        return tuple(
            self.known[name] for name in ('position', 'began', 'complete')
        )

    def test_samples_follow_each_other(self):
        began, first = self.check(0.25)
        self.assertEqual((0, QUARTER), first)
        self.assertEqual((QUARTER, began, None), self.state())
        _, second = self.check(0.5)
        self.assertEqual((QUARTER, 3 * QUARTER), second)
        self.assertEqual((3 * QUARTER, began, None), self.state())
        _, third = self.check(0.5)
        self.assertEqual((3 * QUARTER, sample.RING), third)
        self.assertEqual((0, None, began), self.state())
        again, fourth = self.check(0.25)
        self.assertEqual((0, QUARTER), fourth)
        self.assertEqual((QUARTER, again, began), self.state())

    def test_one_that_failed_is_read_again(self):
        self.check(0.25)
        known = self.known
        self.assertEqual((QUARTER, 2 * QUARTER), self.check(0.25, 'failed')[1])
        self.assertEqual(known, self.known)
        self.assertEqual((QUARTER, 2 * QUARTER), self.check(0.25)[1])

    def test_whole_check_is_a_round(self):
        self.check(0.25)
        began, whole = self.check(1.0)
        self.assertEqual((0, sample.RING), whole)
        self.assertEqual((0, None, began), self.state())

    def test_check_of_the_pages_is_none(self):
        self.assertIsNone(self.check(0.0)[1])
        self.assertEqual({}, self.known)

    def test_smallest_sample_goes_on(self):
        self.check(1e-12)
        self.assertEqual(1, self.known['position'])


class TestSchedule(VerificationTestCase):
    def setUp(self):
        super().setUp()
        self.fixture.announce()
        self.conf = self.fixture.conf
        self.conf.set_override('verify_fraction', 0.25, 'server')

    def change(self, seconds=86401, **values):
        """Change the repository, and let it be that old."""
        with self.catalog.writer() as session:
            then = clock.read(session) - round(seconds * 1000)
            repository_rows.update(
                session, self.repository_id, created_at=then, **values
            )

    def schedule(self):
        verification.schedule(self.catalog, self.conf)
        found, _ = jobs.list(self.catalog, kind='check')
        return [job for job in found if not job.finished]

    def test_new_repository_is_left_alone(self):
        self.assertEqual([], self.schedule())

    def test_each_interval_has_one(self):
        self.change()
        [job] = self.schedule()
        self.assertEqual([job.id], [again.id for again in self.schedule()])
        spec = self.fixture.run(job.id)
        self.assertEqual((0, QUARTER), (spec.sample.begin, spec.sample.end))
        self.fixture.finish(spec)
        self.change(verify_after=0)
        self.assertEqual([], self.schedule())
        earlier = {**self.known, 'last': self.known['last'] - 86401000}
        self.change(verify_after=0, verification=earlier)
        [job] = self.schedule()
        self.assertEqual(QUARTER, self.fixture.run(job.id).sample.begin)

    def test_one_that_failed_is_tried_again_after_a_while(self):
        self.change()
        [job] = self.schedule()
        jobs.cancel(self.catalog, job.id)
        self.assertEqual([], self.schedule())
        self.change(verify_after=0)
        self.assertEqual(1, len(self.schedule()))

    def test_clock_that_was_set_back_delays_nothing(self):
        self.change(-1e6, verify_after=2**50, verification={'last': 2**50})
        self.assertEqual(1, len(self.schedule()))

    def test_interval_of_zero_turns_it_off(self):
        self.change()
        self.conf.set_override('verify_interval', 0, 'server')
        self.assertEqual([], self.schedule())

    def test_repository_that_is_not_ready_is_left_alone(self):
        self.change(state='recovering')
        self.assertEqual([], self.schedule())

    def test_nothing_is_planned_while_no_proxy_is_alive(self):
        self.change()
        self.fixture.age_proxy('here', 60)
        self.assertEqual([], self.schedule())
