# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import job as job_rows
from tests.unit.ebackup_service.server.catalog import base


class TestJob(base.SqliteTestCase):
    def setUp(self):
        super().setUp()
        self.fixture.make_repository()
        _, self.job = self.fixture.reserve()

    def update(self, *args, **values):
        with self.catalog.writer() as session:
            return job_rows.update(session, self.job.id, *args, **values)

    def end(self, *args, **values):
        with self.catalog.writer() as session:
            return job_rows.end(session, self.job.id, *args, **values)

    def found(self):
        return self.fixture.job(self.job.id)

    def test_update_only_from_the_states_that_are_named(self):
        self.assertFalse(self.update(['running'], proxy='a'))
        self.assertTrue(self.update(['pending'], proxy='b'))
        self.assertEqual('b', self.found().proxy)

    def test_update_only_with_the_newest_token(self):
        spec = self.fixture.run(self.job.id)
        self.assertFalse(
            self.update(['running'], job_rows.held(spec.token - 1), proxy='a')
        )
        self.assertTrue(
            self.update(['running'], job_rows.held(spec.token), proxy='b')
        )

    def test_lease_ends_by_the_databases_clock(self):
        self.fixture.run(self.job.id)
        self.assertTrue(self.update(['running'], job_rows.leased(), proxy='a'))
        self.fixture.age(self.job.id, 20)
        self.assertFalse(
            self.update(['running'], job_rows.leased(), proxy='b')
        )

    def test_unmoved_until_something_happens(self):
        before = self.found()
        unmoved = job_rows.unmoved(before)
        self.assertTrue(self.update(['pending'], *unmoved, proxy='a'))
        self.fixture.attach(self.job.id)
        self.assertFalse(self.update(['pending'], *unmoved, proxy='b'))

    def test_end_is_reached_once(self):
        states = ('pending', 'running')
        self.assertTrue(self.end(states, 'failed', error={'kind': 'x'}))
        self.assertFalse(self.end(states, 'succeeded'))
        found = self.found()
        self.assertTrue(found.finished)
        self.assertEqual(('failed', {'kind': 'x'}), (found.state, found.error))
        self.assertIsNone(found.needs)
        self.assertIsNotNone(found.finished_at)

    def test_unfinished_oldest_first(self):
        _, second = self.fixture.reserve()
        _, third = self.fixture.reserve()
        for job, age in ((self.job, 1), (second, 3), (third, 2)):
            self.fixture.age(job.id, age)
        self.end(('pending',), 'failed')
        with self.catalog.reader() as session:
            found = job_rows.unfinished(session, kind='backup')
            none = job_rows.unfinished(session, kind='gc')
        self.assertEqual([second.id, third.id], [job.id for job in found])
        self.assertEqual([], none)

    def test_instants_are_those_of_the_database(self):
        with self.catalog.reader() as session:
            now = clock.read(session)
        created = clock.to_milliseconds(self.job.created_at)
        self.assertLessEqual(created, now)
        self.assertLess(now - created, 60000)

    def test_unknown(self):
        with self.catalog.reader() as session:
            self.assertIsNone(job_rows.get(session, 'x'))
