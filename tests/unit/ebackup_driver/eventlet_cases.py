# SPDX-License-Identifier: Apache-2.0
"""What can be seen only where eventlet has patched everything.

Not run by itself: test_driver_modes runs it through under_eventlet.
"""

import threading
import time

from cinder import monkey_patch
from cinder import utils
import eventlet  # noqa: H905

from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import test_driver_backup


class TestUnderEventlet(test_driver_backup.BackupTestCase):
    def test_the_volume_file_is_a_proxy(self):
        self.assertTrue(monkey_patch.is_patched())
        self.assertIsInstance(self.volume_file, utils.tpool.Proxy)
        self.make()
        (attachment,) = self.service.attachments.values()
        self.assertEqual(self.path, attachment['path'])

    def test_waiting_lets_others_run(self):
        self.service.beats_needed = 5
        ticks = []
        at_beats = []

        def tick():
            while True:
                ticks.append(time.monotonic())
                eventlet.sleep(0.01)

        def note(request):
            if request.path.endswith('/heartbeat'):
                at_beats.append(len(ticks))

        ticker = eventlet.spawn(tick)
        self.addCleanup(ticker.kill)
        self.service.hooks.append(note)
        self.make()
        # It ran between any two looks at the job.
        self.assertEqual(5, len(set(at_beats)))
        self.assertEqual(sorted(at_beats), at_beats)

    def test_a_killed_greenthread_beats_no_more(self):
        self.service.beats_needed = None
        beaten = threading.Event()
        self.at('POST', base.BEAT, beaten.set, 2)
        maker = eventlet.spawn(self.make)
        beaten.wait()
        maker.kill()
        self.assertTrue(maker.dead)
        self.assertLessEqual(len(self.service.said('POST', base.BEAT)), 3)
        self.assertEqual(['running'], self.job_states())
        self.assertEqual([], self.service.said('POST', base.CANCEL))
