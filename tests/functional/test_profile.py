# SPDX-License-Identifier: Apache-2.0
"""Each profile tests what it is there to test."""

from tests.functional import base


class TestProfile(base.LabTestCase):
    def test_cinder_backup_runs_by_eventlet_or_natively(self) -> None:
        # A variable that is lost on the way would leave one way untested.
        # Cinder warns of native threads, and says nothing of eventlet. (What
        # the process shows of its environment its title has overwritten.)
        name = self.lab.service('cinder-backup')
        log = self.lab.directory / 'log' / f'{name}.log'
        self.assertEqual(
            self.lab.backup_threading == 'native',
            'is starting with native threading' in log.read_text(),
        )
