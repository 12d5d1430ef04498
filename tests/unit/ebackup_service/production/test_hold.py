# SPDX-License-Identifier: Apache-2.0
import os

import fixtures

from ebackup_driver import hold as driver_hold
from ebackup_service.production import errors
from ebackup_service.production import hold
from tests import base
from tests.unit.ebackup_service.production import loops


class HoldTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).join('volume')
        with open(self.path, 'wb') as file:
            file.write(b'x')

    def opened(self, flags):
        descriptor = os.open(self.path, flags)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def check(self, lock, flags=os.O_RDONLY):
        hold.Hold('the volume', lock).check(self.opened(flags))

    def test_what_the_driver_holds_is_held(self):
        for mode in 'rb', 'wb':
            with open(self.path, mode) as file, driver_hold.held(file) as lock:
                for flags in os.O_RDONLY, os.O_RDWR, os.O_WRONLY:
                    self.check(lock, flags)

    def test_what_it_let_go_is_not(self):
        with open(self.path, 'rb') as file, driver_hold.held(file) as lock:
            pass
        error = self.assertRaises(errors.DriverLost, self.check, lock)
        self.assertTrue(error.retryable)
        self.assertIn('no longer holds the volume', str(error))

    def test_what_another_operation_holds_is_not(self):
        with open(self.path, 'rb') as file, driver_hold.held(file) as lock:
            self.assertRaises(errors.DriverLost, self.check, lock + 1)

    def test_a_block_device(self):
        self.path = self.useFixture(loops.LoopDevice(1 << 20)).path
        for mode in 'rb', 'wb':
            with open(self.path, mode) as file:
                with driver_hold.held(file) as lock:
                    self.check(lock, os.O_RDWR)
            self.assertRaises(errors.DriverLost, self.check, lock)

    def test_without_a_lock_nothing_is_known(self):
        hold.UNKNOWN.check(-1)

    def test_a_job_that_has_to_stop_has_no_right_either(self):
        def check():
            raise ZeroDivisionError

        stopped = hold.Hold('the volume', None, check)
        self.assertRaises(ZeroDivisionError, stopped.check, -1)
        with open(self.path, 'rb') as file, driver_hold.held(file) as lock:
            stopped = hold.Hold('the volume', lock, check)
            self.assertRaises(ZeroDivisionError, stopped.check, file.fileno())
