# SPDX-License-Identifier: Apache-2.0

import dataclasses

from ebackup_service.engine import control
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import errors
from ebackup_service.proxy import failures
from ebackup_service.repository import errors as repository_errors
from ebackup_service.rpc import messages
from tests import base

JOB = messages.JobSpec(
    id='j',
    kind='backup',
    token=1,
    lease=1.0,
    repository=messages.RepositorySpec(
        'r', 'r', 'file:///r', messages.Owner('s', 1), 'zstd', 1, 0
    ),
)


class TestDescribe(base.BaseTestCase):
    def kind(self, error):
        found = failures.describe(JOB, error)
        self.assertTrue(found.message)
        return found.kind, found.retryable

    def test_errors_that_have_a_kind_keep_it(self):
        for error, kind, retryable in (
            (production_errors.PathBusy('x'), 'path-busy', True),
            (production_errors.PathForbidden('x'), 'path-forbidden', False),
            (errors.RepositoryFull('x'), 'repository-full', True),
            (errors.JobInvalid('x'), 'job-invalid', False),
            (control.LeaseLost('x'), 'lease-lost', True),
        ):
            self.assertEqual((kind, retryable), self.kind(error))

    def test_every_error_of_a_repository_has_a_kind(self):
        for error, kind in (
            (repository_errors.StorageFull('x'), 'repository-full'),
            (
                repository_errors.StorageUnavailable('x'),
                'repository-unavailable',
            ),
            (
                repository_errors.StorageReadOnly('x'),
                'repository-read-only',
            ),
            (repository_errors.InvalidUrl('x'), 'repository-url'),
            (repository_errors.NotARepository('x'), 'repository-missing'),
            (repository_errors.ForeignOwner('x'), 'repository-foreign'),
            (repository_errors.CatalogOutdated('x'), 'catalog-outdated'),
            (
                repository_errors.Corrupt('page', 'p', 'x'),
                'repository-corrupt',
            ),
            (repository_errors.RepositoryError('x'), 'repository-error'),
        ):
            self.assertEqual((kind, error.retryable), self.kind(error))

    def test_message_is_kept_as_far_as_cinder_keeps_it(self):
        error = production_errors.PathUnknown('cause first ' + 'x' * 300)
        message = failures.describe(JOB, error).message
        self.assertEqual(255, len(message))
        self.assertTrue(message.startswith('cause first'))

    def test_what_nobody_expected_is_not_shown_but_logged(self):
        found = failures.describe(JOB, KeyError('secret'))
        self.assertEqual('internal-error', found.kind)
        self.assertNotIn('secret', found.message)
        self.assertIn('KeyError', found.message)

    def test_failure_to_clean_up_does_not_hide_the_cause(self):
        try:
            try:
                raise repository_errors.StorageFull('no space')
            finally:
                memoryview(bytearray(1))['cleaning up']
        except TypeError as error:
            found = failures.describe(JOB, error)
        self.assertEqual(
            ('repository-full', 'no space'), (found.kind, found.message)
        )

    def test_error_that_hides_another_on_purpose_counts_itself(self):
        try:
            try:
                raise repository_errors.StorageFull('no space')
            except repository_errors.StorageFull:
                raise KeyError from None
        except KeyError as error:
            found = failures.describe(JOB, error)
        self.assertEqual('internal-error', found.kind)


class TestOutcome(base.BaseTestCase):
    def test_failure(self):
        found = failures.outcome(JOB, production_errors.PathUnknown('x'), None)
        self.assertEqual(
            messages.Outcome(
                'failed', None, messages.JobError('path-unknown', 'x')
            ),
            found,
        )

    def test_job_that_was_told_to_stop_says_why(self):
        for kind, state in (
            ('cancelled', 'cancelled'),
            ('heartbeat-lost', 'returned'),
            ('proxy-stopping', 'returned'),
            ('lease-lost', 'returned'),
        ):
            stop = messages.JobError(kind, 'why', True)
            found = failures.outcome(JOB, control.JobStopped('x'), stop)
            self.assertEqual(messages.Outcome(state, None, stop), found)

    def test_job_that_was_told_to_stop_and_then_failed_to_clean_up(self):
        stop = messages.JobError('heartbeat-lost', 'why', True)
        error = BufferError()
        error.__context__ = control.JobStopped('x')
        found = failures.outcome(JOB, error, stop)
        self.assertEqual(messages.Outcome('returned', None, stop), found)

    def test_what_failed_before_the_stop_took_effect_is_told(self):
        stop = messages.JobError('cancelled', 'why')
        found = failures.outcome(JOB, production_errors.PathUnknown('x'), stop)
        self.assertEqual('path-unknown', found.error.kind)

    def test_storage_that_is_away_may_come_back(self):
        error = repository_errors.StorageUnavailable('away')
        found = failures.outcome(JOB, error, None)
        self.assertEqual('returned', found.state)

    def test_volume_that_is_away_may_come_back_on_a_registered_storage(self):
        storage = messages.StorageSpec(
            's', 'ceph', 'rbd', {}, None, 'trusted', True
        )
        there = dataclasses.replace(JOB, storage=storage)
        restore = dataclasses.replace(there, kind='restore')
        release = dataclasses.replace(there, kind='release')
        for error in (
            production_errors.SourceUnavailable('away'),
            production_errors.TargetUnavailable('away'),
        ):
            for job, state in (
                (there, 'returned'),
                (restore, 'returned'),
                # It was attached, and is not any more.
                (JOB, 'failed'),
                # It is made again, later.
                (release, 'failed'),
            ):
                found = failures.outcome(job, error, None)
                self.assertEqual(
                    (state, error.kind), (found.state, found.error.kind)
                )

    def test_lease_that_ended_by_itself(self):
        found = failures.outcome(JOB, control.LeaseLost('x'), None)
        self.assertEqual(
            ('returned', 'lease-lost'), (found.state, found.error.kind)
        )
