# SPDX-License-Identifier: Apache-2.0

from ebackup_service.rpc import messages
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import outcomes
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture

ERROR = messages.JobError('path-busy', 'Volume v is mounted.', True)


class OutcomesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()
        self.image, self.job = self.fixture.reserve()
        self.spec = self.fixture.run(self.job.id)

    def stale(self):
        return messages.JobSpec(
            **{**vars(self.spec), 'token': self.spec.token - 1}
        )

    def found_image(self):
        return self.fixture.image(self.image.id)

    def found_job(self):
        return self.fixture.job(self.job.id)

    def garbage(self):
        return repositories.show(self.catalog, 'default').garbage


class TestCommit(OutcomesTestCase):
    def test_tree_is_recorded_but_the_image_not_yet_available(self):
        decision = self.fixture.commit(self.spec, {'id': 'x'})
        self.assertTrue(decision.accepted)
        self.assertEqual('creating', self.found_image().state)
        self.assertEqual({'id': 'x'}, self.found_image().root['tree'])

    def test_repeated_commit_is_accepted(self):
        self.fixture.commit(self.spec)
        self.assertTrue(self.fixture.commit(self.spec).accepted)

    def test_older_token_is_fenced(self):
        self.assertFalse(self.fixture.commit(self.stale()).accepted)
        self.assertIsNone(self.found_image().root)

    def test_lease_that_is_over_is_fenced(self):
        self.fixture.age(self.job.id, 15)
        self.assertFalse(self.fixture.commit(self.spec).accepted)

    def test_job_that_is_being_cancelled_is_fenced(self):
        jobs.cancel(self.catalog, self.job.id)
        self.assertFalse(self.fixture.commit(self.spec).accepted)

    def test_image_that_is_being_deleted_is_fenced(self):
        images.delete(self.catalog, self.image.id)
        self.assertFalse(self.fixture.commit(self.spec).accepted)

    def test_unknown_job_is_fenced(self):
        unknown = messages.JobSpec(
            **{**vars(self.spec), 'id': catalog_fixture.new_id()}
        )
        self.assertFalse(self.fixture.commit(unknown).accepted)


class TestCheckpoint(OutcomesTestCase):
    CHECKPOINT = messages.Checkpoint({'id': 'x'}, 7, {'bytes_read': 5})

    def note(self, spec):
        return outcomes.checkpoint(
            self.catalog, spec.id, spec.token, self.CHECKPOINT
        )

    def test_next_run_gets_it(self):
        self.assertTrue(self.note(self.spec).accepted)
        pin = self.found_job().pin
        self.fixture.finish(self.spec, 'returned')
        again = self.fixture.run(self.spec.id)
        self.assertEqual(
            messages.Checkpoint(
                {'id': 'x'}, 7, {'bytes_read': 5, 'bytes_reread': 0}
            ),
            again.begun,
        )
        self.assertEqual(pin, self.found_job().pin)

    def test_first_run_has_none(self):
        self.assertIsNone(self.spec.begun)

    def test_older_token_is_fenced(self):
        self.assertFalse(self.note(self.stale()).accepted)

    def test_lease_that_is_over_is_fenced(self):
        self.fixture.age(self.spec.id, 15)
        self.assertFalse(self.note(self.spec).accepted)
        self.assertIsNone(self.found_job().checkpoint)


class TestFinish(OutcomesTestCase):
    def test_success_of_a_backup_acknowledges_its_image(self):
        self.fixture.commit(self.spec)
        result = {'kind': 'full', 'bytes_read': 9, 'bytes_stored': 4}
        decision = self.fixture.finish(
            self.spec, result=result, progress={'percent': 99, 'rate': 7}
        )
        self.assertTrue(decision.accepted)
        job, image = self.found_job(), self.found_image()
        self.assertEqual('succeeded', job.state)
        self.assertEqual(result, job.result)
        self.assertEqual({'percent': 100, 'rate': 7}, job.progress)
        self.assertIsNotNone(job.finished_at)
        self.assertIsNone(job.lease_until)
        self.assertEqual(
            ('available', 'full', 9, 4),
            (image.state, image.kind, image.bytes_read, image.bytes_stored),
        )

    def test_success_without_commit_makes_no_image(self):
        self.fixture.finish(self.spec, result={})
        self.assertEqual('cancelled', self.found_job().state)
        self.assertEqual('error', self.found_image().state)

    def test_success_after_commit_is_taken_though_the_lease_is_over(self):
        self.fixture.commit(self.spec)
        self.fixture.age(self.job.id, 15)
        self.assertTrue(self.fixture.finish(self.spec, result={}).accepted)
        self.assertEqual('available', self.found_image().state)

    def test_success_after_a_late_cancellation_is_a_success(self):
        self.fixture.commit(self.spec)
        jobs.cancel(self.catalog, self.job.id)
        self.fixture.finish(self.spec, result={})
        self.assertEqual('succeeded', self.found_job().state)
        self.assertEqual('available', self.found_image().state)

    def test_failure_is_the_images_failure(self):
        self.fixture.finish(self.spec, 'failed', error=ERROR)
        self.assertEqual('failed', self.found_job().state)
        self.assertEqual(ERROR.to_dict(), self.found_job().error)
        self.assertEqual('error', self.found_image().state)
        self.assertEqual(ERROR.to_dict(), self.found_image().error)
        self.assertEqual(1, self.garbage())

    def test_failure_of_a_cancelled_job_is_its_cancellation(self):
        jobs.cancel(self.catalog, self.job.id)
        self.fixture.finish(self.spec, 'failed', error=ERROR)
        self.assertEqual('cancelled', self.found_job().state)

    def test_repeated_report_is_accepted_and_changes_nothing(self):
        self.fixture.finish(self.spec, 'failed', error=ERROR)
        before = self.found_job()
        decision = self.fixture.finish(self.spec, 'failed', error=ERROR)
        self.assertTrue(decision.accepted)
        self.assertEqual(before, self.found_job())

    def test_another_report_is_fenced(self):
        self.fixture.finish(self.spec, 'failed', error=ERROR)
        decision = self.fixture.finish(self.spec, result={})
        self.assertFalse(decision.accepted)
        self.assertEqual('failed', self.found_job().state)

    def test_older_token_is_fenced(self):
        decision = self.fixture.finish(self.stale(), 'failed')
        self.assertFalse(decision.accepted)
        self.assertEqual('running', self.found_job().state)

    def test_job_that_was_not_begun_can_be_given_back(self):
        _, job = self.fixture.reserve()
        self.fixture.attach(job.id)
        spec = self.fixture.assign()[job.id]
        self.assertTrue(self.fixture.finish(spec, 'returned').accepted)
        self.assertEqual('pending', self.fixture.job(job.id).state)

    def test_cancelled_job_that_is_given_back_has_ended(self):
        _, job = self.fixture.reserve()
        self.fixture.attach(job.id)
        spec = self.fixture.assign()[job.id]
        jobs.cancel(self.catalog, job.id)
        self.fixture.finish(spec, 'returned')
        self.assertEqual('cancelled', self.fixture.job(job.id).state)

    def give_back(self, kind='proxy-stopping', **values):
        error = messages.JobError(kind, 'why', True)
        return self.fixture.finish(
            self.spec, 'returned', error=error, **values
        )

    def test_job_that_was_begun_can_be_given_back(self):
        progress = {'bytes_read': 7}
        for _ in range(2):
            # Repeated, since the answer may be lost.
            self.assertTrue(self.give_back(progress=progress).accepted)
        found = self.found_job()
        self.assertEqual(('pending', None), (found.state, found.error))
        self.assertEqual(progress, found.progress)
        self.assertEqual('creating', self.found_image().state)
        self.assertEqual([found.id], list(self.fixture.assign()))

    def test_run_whose_job_was_taken_back_still_tells_how_far_it_came(self):
        self.fixture.age(self.spec.id, 18)
        jobs.beat(self.fixture.catalog, self.spec.id)
        leases.expire(self.fixture.catalog, self.fixture.conf)
        progress = {'bytes_read': 7}
        decision = self.give_back('lease-lost', progress=progress)
        self.assertTrue(decision.accepted)
        again = self.fixture.run(self.spec.id)
        self.assertEqual({'bytes_reread': 7}, again.begun.total)
        self.assertFalse(
            self.give_back('lease-lost', progress={'bytes_read': 9}).accepted
        )
        self.assertEqual(progress, self.found_job().progress)

    def test_job_that_broke_waits_a_moment(self):
        for kind in 'repository-unavailable', 'source-unavailable':
            self.give_back(kind)
            self.assertEqual({}, self.fixture.assign())

    def test_job_that_was_begun_often_enough_fails(self):
        self.fixture.conf.set_override('max_runs', 1, 'server')
        self.give_back()
        self.assertEqual('failed', self.found_job().state)
        self.assertEqual('proxy-stopping', self.found_job().error['kind'])
        self.assertEqual('error', self.found_image().state)

    def silent_driver(self):
        """The proxy has stopped, as its lease ended with the beat."""
        self.fixture.conf.set_override('heartbeat_timeout', 10.0, 'server')
        self.fixture.age(self.spec.id, 11)

    def test_job_whose_driver_is_silent_waits_for_it(self):
        for kind in 'heartbeat-lost', 'lease-lost':
            self.silent_driver()
            self.assertTrue(self.give_back(kind).accepted)
            self.assertEqual('pending', self.found_job().state)
            self.assertEqual({}, self.fixture.assign())
            jobs.beat(self.fixture.catalog, self.job.id)
            self.spec = self.fixture.assign()[self.job.id]
            self.fixture.renew(self.spec)

    def test_job_whose_driver_is_silent_in_the_last_run_fails(self):
        self.fixture.conf.set_override('max_runs', 1, 'server')
        self.silent_driver()
        self.give_back('lease-lost')
        self.assertEqual('failed', self.found_job().state)
        self.assertEqual('heartbeat-lost', self.found_job().error['kind'])

    def test_success_of_a_deletion_leaves_a_tombstone(self):
        image = self.fixture.make_image()
        before = self.garbage()
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id))
        self.assertEqual('deleted', self.fixture.image(image.id).state)
        self.assertEqual(before + 1, self.garbage())

    def test_failed_deletion_leaves_the_image_in_deletion(self):
        image = self.fixture.make_image()
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id), 'failed', error=ERROR)
        self.assertEqual('deleting', self.fixture.image(image.id).state)

    def test_backup_is_added_to_what_was_last_counted(self):
        gc = repositories.collect(self.catalog, 'default')
        counted = {'used': 100, 'packs': 2, 'free': 50}
        self.fixture.finish(self.fixture.run(gc.id), result={'usage': counted})
        self.fixture.commit(self.spec)
        self.fixture.finish(
            self.spec,
            result={
                'bytes_stored': 7,
                'metadata_bytes': 2,
                'usage': {'free': 40},
            },
        )
        usage = repositories.usage(self.catalog, 'default')
        self.assertEqual(
            (109, 1, 2, 40),
            tuple(usage[name] for name in ('used', 'images', 'packs', 'free')),
        )

    def test_zone_mismatch_is_told_in_the_result(self):
        image = self.fixture.make_image(volume={'availability_zone': 'a'})
        job = self.fixture.restore(image, volume={'availability_zone': 'b'})
        self.fixture.finish(self.fixture.run(job.id), result={})
        self.assertIn(
            'availability zone b',
            self.fixture.job(job.id).result['availability_zone_mismatch'],
        )

    def test_restore_changes_no_image(self):
        image = self.fixture.make_image()
        job = self.fixture.restore(image)
        self.fixture.finish(self.fixture.run(job.id), result={'x': 1})
        self.assertEqual({'x': 1}, self.fixture.job(job.id).result)
        self.assertEqual(image, self.fixture.image(image.id))
