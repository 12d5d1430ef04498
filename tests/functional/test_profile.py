# SPDX-License-Identifier: Apache-2.0
"""Each profile tests what it is there to test."""

import pathlib

from tests.functional import base


class TestProfile(base.LabTestCase):
    def test_cinder_backup_runs_by_eventlet_or_natively(self) -> None:
        # A variable that is lost on the way would leave one way untested.
        name = self.lab.service('cinder-backup')
        (found,) = [
            s for s in self.lab.status()['services'] if s['name'] == name
        ]
        environment = pathlib.Path(f'/proc/{found["pid"]}/environ')
        variables = environment.read_bytes().split(b'\0')
        native = b'OS_CINDER_DISABLE_EVENTLET_PATCHING=1' in variables
        self.assertEqual(self.lab.backup_threading == 'native', native)
        if native:
            # Cinder warns of this way, and says nothing of the other.
            log = pathlib.Path(found['log']).read_text()
            self.assertIn('is starting with native threading', log)
