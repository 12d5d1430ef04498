# SPDX-License-Identifier: Apache-2.0
import hypothesis
from hypothesis import strategies as st
import numpy as np

from ebackup_service.engine import runs
from tests import base


class OfMaskTest(base.BaseTestCase):
    def ask(self, text, *limit):
        mask = np.array([letter == 'x' for letter in text], dtype=np.bool_)
        return list(runs.of_mask(mask, *limit))

    def test_runs(self):
        self.assertEqual([(1, 3), (5, 6)], self.ask('.xx..x.'))

    def test_at_both_ends(self):
        self.assertEqual([(0, 1), (2, 3)], self.ask('x.x'))

    def test_none(self):
        self.assertEqual([], self.ask('...'))
        self.assertEqual([], self.ask(''))

    def test_limit(self):
        self.assertEqual([(0, 3), (3, 6), (6, 7)], self.ask('xxxxxxx', 3))

    @hypothesis.given(st.text('x.'), st.integers(1, 5))
    def test_every_element_is_in_one_run(self, text, limit):
        found = ['.'] * len(text)
        for first, stop in self.ask(text, limit):
            self.assertIn(stop - first, range(1, limit + 1))
            found[first:stop] = 'x' * (stop - first)
        self.assertEqual(text, ''.join(found))
