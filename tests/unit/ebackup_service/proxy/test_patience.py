# SPDX-License-Identifier: Apache-2.0

from unittest import mock

from ebackup_service.engine import control
from ebackup_service.proxy import errors
from ebackup_service.proxy import patience
from ebackup_service.rpc import errors as rpc_errors
from tests import base

LEASE = 15.0


class TestUntilAnswered(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.time = 0.0
        self.tries = []
        self.control = control.Control(clock=lambda: self.time)

    def pause(self, seconds):
        self.time += seconds

    def until_answered(self, times, error=None, silence=0.0, lease=LEASE):
        """Of a server that fails so many times.

        :param silence: seconds before it raises the error
        """
        silent = rpc_errors.PeerUnreachable('nobody there')

        def ask():
            self.tries.append(self.time)
            if len(self.tries) <= times:
                raise error if error and self.time >= silence else silent
            return 'answer'

        task = mock.Mock(control=self.control)
        task.spec.lease = lease
        return patience.until_answered(
            task, ask, self.pause, lambda: self.time
        )

    def test_answer_at_once(self):
        self.assertEqual('answer', self.until_answered(0))
        self.assertEqual([0.0], self.tries)

    def test_silence_is_followed_by_another_try_after_longer_pauses(self):
        self.assertEqual('answer', self.until_answered(6))
        self.assertEqual([0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5], self.tries)

    def test_a_job_that_has_to_stop_asks_no_more(self):
        self.control.cancel('Stop.')
        self.assertRaises(control.JobStopped, self.until_answered, 3)
        self.assertEqual([0.0], self.tries)

    def test_that_is_seen_between_two_tries(self):
        self.control.extend(8.0)
        self.assertRaises(control.LeaseLost, self.until_answered, 99)
        self.assertEqual(8.0, self.time)

    def test_a_server_that_never_answers_ends_the_run(self):
        error = self.assertRaises(errors.Fenced, self.until_answered, 999)
        self.assertTrue(error.retryable)
        self.assertLess(120 - self.time, 4)
        self.assertLess(self.time - 120, 4)

    def test_a_server_that_always_fails_ends_the_job(self):
        failed = rpc_errors.PeerErred('live failed: KeyError')
        error = self.assertRaises(
            errors.ServerFailed, self.until_answered, 999, failed
        )
        self.assertIn('live failed: KeyError', str(error))
        self.assertFalse(error.retryable)
        self.assertEqual(2 * LEASE + 1.5, self.time)

    def test_of_a_long_lease_as_well(self):
        failed = rpc_errors.PeerErred('live failed: KeyError')
        self.assertRaises(
            errors.ServerFailed,
            *(self.until_answered, 999, failed),
            lease=100.0,
        )

    def test_it_fails_from_its_first_error_on(self):
        failed = rpc_errors.PeerErred('live failed: DBDeadlock')
        self.assertRaises(
            errors.ServerFailed, self.until_answered, 999, failed, 60.0
        )
        self.assertLessEqual(60 + 2 * LEASE, self.time)

    def test_a_database_that_is_away_ends_the_lease_first(self):
        """Then nothing is renewed, and another run may go on."""
        self.control.extend(LEASE)
        failed = rpc_errors.PeerErred('live failed: DBConnectionError')
        self.assertRaises(control.LeaseLost, self.until_answered, 999, failed)

    def test_a_server_that_fails_for_a_while_is_borne(self):
        failed = rpc_errors.PeerErred('live failed: DBDeadlock')
        self.assertEqual('answer', self.until_answered(5, failed))
