# SPDX-License-Identifier: Apache-2.0
"""Runs test modules in a process that Cinder has patched with eventlet.

python -m tests.unit.ebackup_driver.under_eventlet MODULE…
"""

from cinder import monkey_patch

# As cinder-backup does: before anything else is imported.
monkey_patch.patch('eventlet')

import sys  # noqa: E402
import unittest  # noqa: E402

if __name__ == '__main__':
    unittest.main(module=None, argv=sys.argv)
