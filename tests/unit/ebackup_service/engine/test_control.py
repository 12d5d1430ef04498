# SPDX-License-Identifier: Apache-2.0
import threading
import time

from ebackup_service.engine import control
from ebackup_service.engine import throttle
from tests import base


class ControlTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.now = 100.0

    def control(self, **kwargs):
        return control.Control(clock=lambda: self.now, **kwargs)

    def test_goes_on_for_ever_unless_told(self):
        self.now = 1e12
        self.control().check()

    def test_cancelled(self):
        job = self.control()
        job.cancel('the backup was deleted')
        job.cancel('another reason')
        error = self.assertRaises(control.JobStopped, job.check)
        self.assertEqual('the backup was deleted', error.reason)
        self.assertEqual('cancelled', error.kind)

    def test_lease_ends_by_itself(self):
        job = self.control(deadline=110.0)
        self.now = 109.9
        job.check()
        self.now = 110.0
        error = self.assertRaises(control.LeaseLost, job.check)
        self.assertEqual('lease-lost', error.kind)

    def test_lease_is_extended(self):
        job = self.control(deadline=110.0)
        job.extend(120.0)
        self.now = 119.0
        job.check()


class ThrottleTest(base.BaseTestCase):
    def test_no_limiter_no_wait(self):
        job = control.Control()
        job.throttle(1 << 60)

    def test_waits_until_the_bytes_may_move(self):
        job = control.Control(limiter=throttle.Limiter(1000))
        start = time.monotonic()
        job.throttle(100)
        job.throttle(1)
        self.assertGreaterEqual(time.monotonic() - start, 0.1)

    def test_cancel_ends_the_wait(self):
        job = control.Control(limiter=throttle.Limiter(1))
        job.throttle(3600)  # the next one waits for an hour
        raised = []

        def wait():
            try:
                job.throttle(1)
            except control.JobStopped as e:
                raised.append(e.reason)

        waiting = threading.Thread(target=wait)
        waiting.start()
        job.cancel('enough')
        waiting.join(10)
        self.assertFalse(waiting.is_alive())
        self.assertEqual(['enough'], raised)

    def test_lease_that_ends_ends_the_wait(self):
        job = control.Control(
            deadline=time.monotonic() + 0.1, limiter=throttle.Limiter(1)
        )
        job.throttle(3600)
        self.assertRaises(control.LeaseLost, job.throttle, 1)

    def test_own_check_is_called_while_waiting(self):
        job = control.Control(limiter=throttle.Limiter(1))
        job.throttle(3600)

        def check():
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, job.throttle, 1, check)
