# SPDX-License-Identifier: Apache-2.0
"""The driver in processes that are not like that of the other tests.

cinder-backup is patched by eventlet unless told otherwise, which can't be
undone; and Cinder's own tests set up a database in their own way. In native
threads, the other mode of cinder-backup, are all tests that run by themselves.
"""

import os
import subprocess
import sys

from tests import base


PACKAGE = 'tests.unit.ebackup_driver'

_COMPLIANCE = """
from cinder import objects
objects.register_all()
from ebackup_driver import driver
from cinder.tests.compliance import test_backup_drivers as compliance
assert [d.cls for d in compliance.BACKUP_DRIVERS] == [driver.EBackupDriver]
import unittest
unittest.main(module=compliance)
"""


class TestModes(base.BaseTestCase):
    def run_python(self, *arguments):
        """Run a test program; return how many tests passed in it."""
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', *arguments],
            env={**os.environ, 'OS_CINDER_DISABLE_EVENTLET_PATCHING': ''},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        self.assertEqual(0, done.returncode, done.stdout)
        (line,) = [
            line
            for line in done.stdout.splitlines()
            if line.startswith('Ran ')
        ]
        return int(line.split()[1])

    def run_under_eventlet(self, *modules):
        return self.run_python(
            '-m',
            f'{PACKAGE}.under_eventlet',
            *(f'{PACKAGE}.{module}' for module in modules),
        )

    def test_under_eventlet(self):
        passed = self.run_under_eventlet(
            'eventlet_cases',
            'test_driver_backup',
            'test_driver_cancel',
            'test_driver_delete',
            'test_driver_records',
            'test_driver_restore',
        )
        self.assertGreater(passed, 70)

    def test_outages_and_cinders_manager_under_eventlet(self):
        passed = self.run_under_eventlet(
            'test_driver_manager', 'test_driver_outage'
        )
        self.assertGreater(passed, 40)

    def test_exports_under_eventlet(self):
        self.assertGreater(self.run_under_eventlet('test_exports'), 15)

    def test_cinders_compliance(self):
        # The sanity check of the list, and our class in it.
        self.assertEqual(2, self.run_python('-c', _COMPLIANCE))
