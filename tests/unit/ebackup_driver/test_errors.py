# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st

from ebackup_driver import errors
from tests import base


class TestShorten(base.BaseTestCase):
    @given(st.text(max_size=600))
    def test_is_one_line_that_cinder_can_keep(self, message):
        short = errors.shorten(message)
        self.assertLess(len(short), 255)
        self.assertEqual(short, ' '.join(short.split()))

    def test_keeps_the_beginning(self):
        short = errors.shorten('cause\nfirst ' + 'x' * 300)
        self.assertTrue(short.startswith('cause first x'))
        self.assertTrue(short.endswith('x...'))

    def test_leaves_short_ones_alone(self):
        self.assertEqual('x' * 250, errors.shorten('x' * 250))


class TestRetryable(base.BaseTestCase):
    def test_is_known_by_the_type(self):
        self.assertTrue(errors.ServiceUnreachable('m').retryable)
        self.assertFalse(errors.Conflict('m').retryable)

    def test_is_what_the_service_said_of_a_job(self):
        self.assertTrue(errors.JobFailed('m', retryable=True).retryable)
        self.assertFalse(errors.JobFailed('m').retryable)
