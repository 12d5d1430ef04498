# SPDX-License-Identifier: Apache-2.0
"""Tests of one module each; the tree mirrors that of the packages."""

from futurist import _thread
import hypothesis

# How long an example takes says more about the machine than about the code.
# Examples are new ones each time, in continuous integration, too; hypothesis's
# own profile for that would draw the same for ever.
hypothesis.settings.register_profile(
    'project',
    parent=hypothesis.settings.get_profile('default'),
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile('project')

# Seconds between two looks of an idle thread of oslo.messaging at whether it
# is to end. Every listener that is closed waits for it.
_thread.ThreadWorker.MAX_IDLE_FOR = 0.02
