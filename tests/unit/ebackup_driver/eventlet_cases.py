# SPDX-License-Identifier: Apache-2.0
"""What can be seen only where eventlet has patched everything.

Not run by itself: test_driver_modes runs it through under_eventlet.
"""

import re
import threading
import time

from cinder import monkey_patch
from cinder import utils
import eventlet  # noqa: H905

from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import played_service
from tests.unit.ebackup_driver import test_driver_backup
from tests.unit.ebackup_driver import test_driver_restore


class OthersRun:
    """Mixed into a driver's test case."""

    def assert_others_run(self, operation, method, pattern, requests):
        """Check that others run between any two requests that match."""
        ticks = []
        at_requests = []

        def tick():
            while True:
                ticks.append(time.monotonic())
                eventlet.sleep(0.01)

        def note(request):
            if self.matches(request, method, pattern):
                at_requests.append(len(ticks))

        ticker = eventlet.spawn(tick)
        self.addCleanup(ticker.kill)
        self.service.hooks.insert(0, note)
        operation()
        self.assertEqual(requests, len(set(at_requests)))
        self.assertEqual(sorted(at_requests), at_requests)

    def refuse_twice(self, method, pattern):
        refusals = [503, 502]

        def refuse(request):
            if refusals and self.matches(request, method, pattern):
                raise played_service.Refusal(refusals.pop(), 'away')

        self.service.hooks.append(refuse)

    @staticmethod
    def matches(request, method, pattern):
        return request.method == method and re.fullmatch(pattern, request.path)


class TestBackup(OthersRun, test_driver_backup.BackupTestCase):
    def test_the_volume_file_is_a_proxy(self):
        self.assertTrue(monkey_patch.is_patched())
        self.assertIsInstance(self.volume_file, utils.tpool.Proxy)
        self.make()
        (attachment,) = self.service.attachments.values()
        self.assertEqual(self.path, attachment['path'])

    def test_waiting_lets_others_run(self):
        self.service.beats_needed = 5
        self.assert_others_run(self.make, 'POST', base.BEAT, 5)

    def test_waiting_for_a_service_that_is_away_lets_others_run(self):
        self.refuse_twice('PUT', base.IMAGE)
        self.assert_others_run(self.make, 'PUT', base.IMAGE, 3)

    def test_waiting_for_a_deletion_lets_others_run(self):
        self.make()
        self.service.requests.clear()
        self.service.beats_needed = 5
        self.assert_others_run(
            lambda: self.driver().delete_backup(self.backup),
            'POST',
            base.BEAT,
            5,
        )

    def test_waiting_for_a_record_lets_others_run(self):
        self.make()
        record = base.IMAGE + '/record'
        self.refuse_twice('GET', record)
        self.assert_others_run(
            lambda: self.driver().export_record(self.backup), 'GET', record, 3
        )

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


class TestRestore(OthersRun, test_driver_restore.RestoreTestCase):
    def test_the_volume_file_is_a_proxy(self):
        self.assertIsInstance(self.volume_file, utils.tpool.Proxy)
        self.restore()
        attachment = list(self.service.attachments.values())[-1]
        self.assertEqual(self.path, attachment['path'])

    def test_waiting_lets_others_run(self):
        self.service.beats_needed = 5
        for is_new in (True, False):
            self.service.requests.clear()
            self.assert_others_run(
                lambda is_new=is_new: self.restore(is_new),
                'POST',
                base.BEAT,
                5,
            )

    def test_waiting_for_a_service_that_is_away_lets_others_run(self):
        restores = '/v1/restores/[^/]+'
        self.refuse_twice('PUT', restores)
        self.assert_others_run(self.restore, 'PUT', restores, 3)

    def test_a_killed_greenthread_beats_no_more(self):
        self.service.beats_needed = None
        beaten = threading.Event()
        self.at('POST', base.BEAT, beaten.set, 2)
        restorer = eventlet.spawn(self.restore)
        beaten.wait()
        restorer.kill()
        self.assertTrue(restorer.dead)
        self.assertLessEqual(len(self.service.said('POST', base.BEAT)), 3)
        self.assertEqual(['succeeded', 'running'], self.job_states())
        self.assertEqual([], self.service.said('POST', base.CANCEL))
        self.assertEqual({}, self.target_metadata())
