# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

from tests import base


# The backend is chosen once for a process, so this needs one of its own.
PROGRAM = """
import ebackup_service.cmd.all
from oslo_service import backend
assert backend.get_backend_type() is backend.BackendType.THREADING
import threading
assert type(threading.Lock()).__module__ == '_thread'
"""


class BackendTest(base.BaseTestCase):
    def test_programs_use_threads(self):
        done = subprocess.run(
            [sys.executable, '-c', PROGRAM],
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr))
