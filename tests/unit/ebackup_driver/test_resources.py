# SPDX-License-Identifier: Apache-2.0

from ebackup_driver import errors
from ebackup_driver import resources
from tests import base


def job(state='running', **fields):
    return resources.Job.from_dict(
        {'id': 'j', 'kind': 'gc', 'state': state, **fields}
    )


class TestJob(base.BaseTestCase):
    def test_ends_in_three_ways(self):
        states = ('pending', 'running', 'succeeded', 'failed', 'cancelled')
        self.assertEqual(
            ['succeeded', 'failed', 'cancelled'],
            [s for s in states if job(s).ended],
        )

    def test_that_succeeded_is_no_failure(self):
        job('succeeded').raise_for_failure()

    def test_that_failed_says_why(self):
        failed = job(
            'failed',
            error={'kind': 'full', 'message': 'No space', 'retryable': True},
        )
        error = self.assertRaises(errors.JobFailed, failed.raise_for_failure)
        self.assertEqual('No space', str(error))
        self.assertEqual('full', error.kind)
        self.assertTrue(error.retryable)

    def test_that_failed_without_a_word_is_named(self):
        error = self.assertRaises(
            errors.JobFailed, job('failed').raise_for_failure
        )
        self.assertEqual('gc job j failed', str(error))

    def test_that_was_cancelled_is_told_apart(self):
        self.assertRaises(
            errors.JobCancelled, job('cancelled').raise_for_failure
        )

    def test_progress_may_be_missing(self):
        self.assertIsNone(job().advance.percent)
        self.assertEqual(7, job(progress={'percent': 7}).advance.percent)

    def test_what_is_expected_to_end_soon(self):
        for remaining, soon in ((0, True), (1.9, True), (2, False)):
            advance = job(progress={'remaining': remaining}).advance
            self.assertIs(soon, advance.ends_within(2.0))
        for unknown in (None, 'soon', [1]):
            advance = job(progress={'remaining': unknown}).advance
            self.assertIs(False, advance.ends_within(2.0))


class TestFromDict(base.BaseTestCase):
    def test_names_what_is_missing(self):
        error = self.assertRaises(
            errors.ServiceFailed, resources.Image.from_dict, {'size': 1}
        )
        self.assertIn('Image without id, state', str(error))

    def test_takes_objects_only(self):
        for data in (None, [], 'x', 1):
            self.assertRaises(
                errors.ServiceFailed, resources.Job.from_dict, data
            )

    def test_is_undone_by_to_dict(self):
        data = job(progress={'percent': 7}).to_dict()
        self.assertEqual(data, resources.Job.from_dict(data).to_dict())
