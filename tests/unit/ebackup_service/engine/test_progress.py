# SPDX-License-Identifier: Apache-2.0

from ebackup_service.engine import progress
from tests import base


class ProgressTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.now = 100.0

    def progress(self, size):
        return progress.Progress(size, clock=lambda: self.now)

    def test_nothing_done_yet(self):
        self.assertEqual(
            {
                'percent': 0,
                'bytes_total': 1000,
                'bytes_done': 0,
                'bytes_read': 0,
                'bytes_reread': 0,
                'bytes_written': 0,
                'bytes_zeroed': 0,
                'bytes_stored': 0,
                'chunks_changed': 0,
                'chunks_stored': 0,
                'chunks_zero': 0,
                'rate': 0,
                'remaining': None,
            },
            self.progress(1000).snapshot(),
        )

    def test_workers_are_added_up(self):
        job = self.progress(1000)
        for _ in range(2):
            counters = job.worker()
            counters.done = 100
            counters.bytes_read = 10
            counters.chunks_zero = 1
        self.now += 4
        snapshot = job.snapshot()
        self.assertEqual(20, snapshot['percent'])
        self.assertEqual(200, snapshot['bytes_done'])
        self.assertEqual(20, snapshot['bytes_read'])
        self.assertEqual(2, snapshot['chunks_zero'])
        self.assertEqual(50, snapshot['rate'])
        self.assertEqual(16, snapshot['remaining'])

    def test_goes_on_from_an_earlier_run(self):
        first = self.progress(1000)
        counters = first.worker()
        counters.done, counters.bytes_read = 400, 300
        again = self.progress(1000)
        again.go_on(first.total())
        again.worker().done = 100
        self.now += 2
        snapshot = again.snapshot()
        self.assertEqual(
            (50, 300), (snapshot['percent'], snapshot['bytes_read'])
        )
        # The time that the earlier run took is not known here.
        self.assertEqual((50, 10), (snapshot['rate'], snapshot['remaining']))

    def test_done(self):
        job = self.progress(1000)
        job.worker().done = 1000
        snapshot = job.snapshot()
        self.assertEqual(
            (100, 0), (snapshot['percent'], snapshot['remaining'])
        )

    def test_not_100_percent_before_everything_is_done(self):
        job = self.progress(100000)
        job.worker().done = 99999
        self.assertEqual(99, job.snapshot()['percent'])

    def test_empty_volume(self):
        self.assertEqual(100, self.progress(0).snapshot()['percent'])
