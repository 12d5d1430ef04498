# SPDX-License-Identifier: Apache-2.0
"""The demonstration that the README begins with."""

import os
import re
import signal
import subprocess

from tests.functional import base
from tests.functional import lab


class DemoTestCase(base.LabTestCase):
    def setUp(self) -> None:
        super().setUp()
        if self.lab.separate:
            self.skipTest('the other profiles have it; once more says no more')
        self.addCleanup(self.tidy)

    def tidy(self) -> None:
        """What it leaves is to be looked at, and in the way of other tests."""
        storage = self.demo.block_storage
        for backup in storage.backups():
            if backup.name.startswith('demo-'):
                self.delete_backup(backup.id)
        for volume in storage.volumes():
            if volume.name.startswith('demo-'):
                self._remove_volume(volume.id)

    def interrupt(self) -> None:
        """Let it run up to its second backup only, as from a terminal."""
        program = lab.start(
            *('--dir', self.lab.directory, 'demo'),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with program:
            for line in program.stdout:
                if 'backup create' in line and '-second' in line:
                    os.killpg(program.pid, signal.SIGINT)
        self.assertEqual(1, program.returncode)

    def test_it_works_after_an_interruption(self):
        self.interrupt()
        said = self.lab.run('demo')
        for line in (
            r'backup full \(full\)',
            r'backup second \(incremental\)',
            r'backup third \(incremental\)',
            'delete second',
            'restore full to a new volume .*same',
            'restore third to a new volume .*same',
            'restore third in place .*same',
        ):
            self.assertTrue(re.search(f'^{line}', said, re.M), said)
        self.assertIn('every byte is right', said)
        # What a program has changed in a file nobody counts.
        counted = self.lab.profile == 'ceph'
        self.assertEqual(counted, ' changed ' in said, said)
