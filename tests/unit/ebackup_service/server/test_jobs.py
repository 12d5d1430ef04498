# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture

PLACE = {'kind': 'attached', 'host': 'here', 'path': '/dev/a'}


class JobsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()
        self.image, self.job = self.fixture.reserve()

    def refused(self, kind, code, function, *args):
        error = self.assertRaises(errors.ServerError, function, *args)
        self.assertEqual((kind, code), (error.kind, error.code))
        return error


class TestLook(JobsTestCase):
    def test_unknown_and_other_projects_jobs_look_alike(self):
        unknown = catalog_fixture.new_id()
        self.refused('job-unknown', 404, jobs.show, self.catalog, unknown)
        self.refused(
            'job-unknown', 404, jobs.show, self.catalog, self.job.id, 'b'
        )

    def test_own_job_is_shown(self):
        found = jobs.show(self.catalog, self.job.id, catalog_fixture.PROJECT)
        self.assertEqual(self.job, found)

    def test_list_is_filtered(self):
        gc = repositories.collect(self.catalog, 'default')
        for expected, filters in (
            (self.job.id, {'kind': 'backup'}),
            (gc.id, {'kind': 'gc'}),
            (self.job.id, {'image_id': self.image.id}),
            (self.job.id, {'project_id': catalog_fixture.PROJECT}),
        ):
            found, _ = jobs.list(self.catalog, **filters)
            self.assertEqual([expected], [job.id for job in found])
        self.assertEqual(([], None), jobs.list(self.catalog, state='failed'))

    def test_list_goes_page_by_page(self):
        others = [self.fixture.reserve()[1].id for _ in range(2)]
        first, marker = jobs.list(self.catalog, limit=2)
        rest, end = jobs.list(self.catalog, limit=2, marker=marker)
        seen = [job.id for job in first + rest]
        self.assertEqual(sorted([self.job.id, *others]), sorted(seen))
        self.assertIsNone(end)


class TestAttach(JobsTestCase):
    def test_job_needs_nothing_more(self):
        job = jobs.attach(self.catalog, self.job.id, PLACE)
        self.assertIsNone(job.needs)
        self.assertEqual(PLACE, job.attachment)
        self.assertIsNotNone(job.ready_at)

    def test_same_again_changes_nothing_even_when_it_runs_or_is_done(self):
        jobs.attach(self.catalog, self.job.id, PLACE)
        spec = self.fixture.run(self.job.id)
        running = jobs.attach(self.catalog, self.job.id, PLACE)
        self.assertEqual('running', running.state)
        self.fixture.finish(spec, 'failed')
        ended = jobs.attach(self.catalog, self.job.id, PLACE)
        self.assertEqual('failed', ended.state)

    def test_another_one_is_a_conflict(self):
        jobs.attach(self.catalog, self.job.id, PLACE)
        other = {**PLACE, 'path': '/dev/b'}
        self.refused(
            'attachment-differs',
            409,
            jobs.attach,
            self.catalog,
            self.job.id,
            other,
        )

    def test_ended_job_takes_none_and_says_why(self):
        jobs.cancel(self.catalog, self.job.id, 'Not today.')
        error = self.refused(
            'job-ended', 409, jobs.attach, self.catalog, self.job.id, PLACE
        )
        self.assertIn('Not today.', str(error))

    def test_job_without_volume_takes_none(self):
        gc = repositories.collect(self.catalog, 'default')
        self.refused(
            'attachment-unneeded',
            409,
            jobs.attach,
            self.catalog,
            gc.id,
            PLACE,
        )

    def test_unknown_job(self):
        self.refused(
            'job-unknown',
            404,
            jobs.attach,
            self.catalog,
            catalog_fixture.new_id(),
            PLACE,
        )


class TestBeat(JobsTestCase):
    def test_beat_is_noted_by_the_databases_clock(self):
        self.fixture.age(self.job.id, 5)
        before = self.fixture.job(self.job.id).beat_at
        after = jobs.beat(self.catalog, self.job.id).beat_at
        self.assertGreaterEqual(after - before, 5000)

    def test_finished_job_is_only_shown(self):
        ended = jobs.cancel(self.catalog, self.job.id)
        self.assertEqual(ended, jobs.beat(self.catalog, self.job.id))

    def test_job_without_driver_gets_no_beat(self):
        gc = repositories.collect(self.catalog, 'default')
        self.assertIsNone(jobs.beat(self.catalog, gc.id).beat_at)

    def test_unknown_job(self):
        self.refused(
            'job-unknown',
            404,
            jobs.beat,
            self.catalog,
            catalog_fixture.new_id(),
        )


class TestCancel(JobsTestCase):
    def test_pending_job_ends_at_once(self):
        job = jobs.cancel(self.catalog, self.job.id, 'Not today.')
        self.assertEqual('cancelled', job.state)
        self.assertEqual(
            {
                'kind': 'cancelled',
                'message': 'Not today.',
                'retryable': False,
            },
            job.error,
        )
        self.assertIsNone(job.needs)
        self.assertIsNotNone(job.finished_at)
        image = self.fixture.image(self.image.id)
        self.assertEqual('error', image.state)
        self.assertEqual(job.error, image.error)

    def test_ready_job_ends_at_once(self):
        jobs.attach(self.catalog, self.job.id, PLACE)
        job = jobs.cancel(self.catalog, self.job.id)
        self.assertEqual('cancelled', job.state)

    def test_running_job_is_asked_to_stop(self):
        spec = self.fixture.run(self.job.id)
        job = jobs.cancel(self.catalog, self.job.id, 'Not today.')
        self.assertEqual('running', job.state)
        self.assertEqual('Not today.', job.cancel_reason)
        self.fixture.finish(spec, 'failed')
        self.assertEqual('cancelled', self.fixture.job(job.id).state)

    def test_job_that_was_handed_out_and_has_not_begun_ends_at_once(self):
        jobs.attach(self.catalog, self.job.id, PLACE)
        self.fixture.announce()
        spec = self.fixture.assign()[self.job.id]
        job = jobs.cancel(self.catalog, self.job.id)
        self.assertEqual('cancelled', job.state)
        grant = leases.renew(
            self.catalog, self.fixture.conf, spec.id, spec.token, {}
        )
        self.assertFalse(grant.granted)

    def test_finished_job_stays_as_it_is(self):
        spec = self.fixture.run(self.job.id)
        self.fixture.finish(spec, 'failed')
        job = jobs.cancel(self.catalog, self.job.id)
        self.assertEqual('failed', job.state)

    def test_cancelled_restore_leaves_its_image_alone(self):
        image = self.fixture.make_image()
        restore = self.fixture.restore(image)
        jobs.cancel(self.catalog, restore.id)
        self.assertEqual('available', self.fixture.image(image.id).state)


class TestRequestCancel(JobsTestCase):
    def test_job_that_was_handed_out_since_it_was_read_is_asked_to_stop(self):
        self.fixture.run(self.job.id)
        self.assertEqual('pending', self.job.state)
        with self.catalog.writer() as session:
            jobs.request_cancel(session, self.job.id, 'Not today.')
        found = self.fixture.job(self.job.id)
        self.assertEqual('Not today.', found.cancel_reason)

    def test_unknown_job(self):
        with self.catalog.writer() as session:
            jobs.request_cancel(session, 'x', 'Not today.')


class TestEnd(JobsTestCase):
    def end(self, job):
        with self.catalog.writer() as session:
            return jobs.end(
                session, job, 'failed', jobs.failure('kind', 'Text.')
            )

    def test_job_that_was_handed_out_since_is_not_ended(self):
        self.fixture.run(self.job.id)
        self.assertFalse(self.end(self.job))
        self.assertEqual('running', self.fixture.job(self.job.id).state)

    def test_job_whose_lease_was_renewed_since_is_not_ended(self):
        spec = self.fixture.run(self.job.id)
        before = self.fixture.job(self.job.id)
        self.fixture.age(self.job.id, 1)
        self.assertFalse(self.end(before))
        self.assertEqual('running', self.fixture.job(spec.id).state)

    def test_finished_job_is_not_ended_again(self):
        jobs.cancel(self.catalog, self.job.id)
        self.assertFalse(self.end(self.fixture.job(self.job.id)))
        self.assertEqual('cancelled', self.fixture.job(self.job.id).state)

    def test_failed_creation_marks_the_repository(self):
        _, job = repositories.create(self.catalog, 'new', 'file:///new')
        self.assertTrue(self.end(job))
        found = repositories.show(self.catalog, 'new')
        self.assertEqual('error', found.state)
        self.assertEqual('Text.', found.error['message'])


class TestTakeBack(JobsTestCase):
    def hand_out(self):
        self.fixture.announce()
        jobs.attach(self.catalog, self.job.id, PLACE)
        return self.fixture.assign()[self.job.id]

    def take_back(self):
        job = self.fixture.job(self.job.id)
        with self.catalog.writer() as session:
            return jobs.take_back(session, job)

    def test_job_that_was_not_begun_waits_again(self):
        first = self.hand_out()
        self.assertTrue(self.take_back())
        job = self.fixture.job(self.job.id)
        self.assertEqual(('pending', None), (job.state, job.proxy))
        again = self.fixture.assign()[self.job.id]
        self.assertEqual(first.token + 1, again.token)

    def test_job_that_was_begun_waits_again(self):
        first = self.fixture.run(self.job.id)
        self.assertTrue(self.take_back())
        job = self.fixture.job(self.job.id)
        self.assertEqual(
            ('pending', False, 1), (job.state, job.begun, job.runs)
        )
        again = self.fixture.run(self.job.id)
        self.assertEqual(first.token + 1, again.token)
        self.assertEqual(2, self.fixture.job(self.job.id).runs)

    def test_cancelled_job_does_not(self):
        self.fixture.run(self.job.id)
        jobs.cancel(self.catalog, self.job.id)
        self.assertFalse(self.take_back())
        self.assertEqual('running', self.fixture.job(self.job.id).state)

    def test_after_a_pause_if_told_to(self):
        self.fixture.run(self.job.id)
        job = self.fixture.job(self.job.id)
        with self.catalog.writer() as session:
            self.assertTrue(jobs.take_back(session, job, 60.0))
        self.assertEqual({}, self.fixture.assign())
        self.fixture.age(self.job.id, 60)
        jobs.beat(self.catalog, self.job.id)
        self.assertEqual([self.job.id], list(self.fixture.assign()))

    def test_restore_keeps_its_pin(self):
        image = self.fixture.make_image()
        self.job = self.fixture.restore(image)
        self.hand_out()
        self.assertTrue(self.take_back())
        pin = self.fixture.job(self.job.id).pin
        self.assertEqual(image.id, pin['image_id'])
