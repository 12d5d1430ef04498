# SPDX-License-Identifier: Apache-2.0
"""Runs what operators type."""

import json
import subprocess
from typing import Any

from tests.functional import ebackup_case


class CommandTestCase(ebackup_case.EBackupTestCase):
    def openstack(self, *arguments: str) -> Any:
        """Return what `openstack ebackup ... --json` prints."""
        return self._run('openstack', 'ebackup', *arguments)

    def manage(self, *arguments: str) -> Any:
        """Return what `ebackup-manage ... --json` prints."""
        file = self.lab.directory / 'etc/ebackup.conf'
        return self._run('ebackup-manage', '--config-file', file, *arguments)

    def _run(self, program: str, *arguments: Any) -> Any:
        done = subprocess.run(
            [self.lab.directory / 'venv/bin' / program, *arguments, '--json'],
            env=self.lab.environment('admin'),
            capture_output=True,
            text=True,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None
