# SPDX-License-Identifier: Apache-2.0

from ebackup_service.engine import throttle
from tests import base


class LimiterTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.now = 100.0

    def limiter(self, rate):
        return throttle.Limiter(rate, clock=lambda: self.now)

    def test_no_limit(self):
        limiter = self.limiter(0)
        self.assertEqual(
            [0.0, 0.0], [limiter.reserve(1 << 40) for _ in range(2)]
        )

    def test_who_asks_later_waits_for_those_before(self):
        limiter = self.limiter(1000)
        self.assertEqual(0.0, limiter.reserve(500))
        self.assertEqual(0.5, limiter.reserve(2000))
        self.assertEqual(2.5, limiter.reserve(1))

    def test_time_that_passes_counts(self):
        limiter = self.limiter(1000)
        limiter.reserve(2000)
        self.now += 1.5
        self.assertEqual(0.5, limiter.reserve(1))

    def test_idle_time_is_not_saved_up(self):
        limiter = self.limiter(1000)
        self.now += 3600
        limiter.reserve(1000)
        self.assertEqual(1.0, limiter.reserve(1))
