# SPDX-License-Identifier: Apache-2.0
from hypothesis import strategies as st

from ebackup_service.repository import extents
from tests import base
from tests.unit.ebackup_service.repository import strategies

PAIRS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 20)), max_size=9)


def as_set(found):
    return {
        byte
        for start, length in found
        for byte in range(start, start + length)
    }


class ExtentsTestCase(base.BaseTestCase):
    @strategies.given(PAIRS)
    def test_they_are_disjoint_and_ascending(self, pairs):
        made = extents.Extents(pairs)

        self.assertEqual(as_set(pairs), as_set(made))
        self.assertEqual(len(as_set(pairs)), made.bytes)
        ends = [start + length for start, length in made]
        starts = [start for start, _ in made]
        self.assertTrue(
            all(a < b for a, b in zip(ends, starts[1:], strict=False))
        )
        self.assertEqual(made, extents.Extents(made.to_json()))

    @strategies.given(PAIRS, PAIRS)
    def test_minus(self, one, two):
        left = extents.Extents(one).minus(extents.Extents(two))

        self.assertEqual(as_set(one) - as_set(two), as_set(left))

    @strategies.given(PAIRS, st.integers(0, 99), st.integers(0, 50))
    def test_within(self, pairs, start, length):
        part = extents.Extents(pairs).within(start, start + length)

        wanted = as_set(pairs) & set(range(start, start + length))
        self.assertEqual(wanted, as_set(part))

    def test_chunks_that_are_touched(self):
        found = extents.Extents([(0, 1), (10, 10), (255 * 10 + 5, 10)])

        self.assertEqual(
            [0, 1, 255], found.chunks(0, 10).nonzero()[0].tolist()
        )
        self.assertEqual([0], found.chunks(2560, 10).nonzero()[0].tolist())
        self.assertFalse(found.chunks(5120, 10).any())

    def test_number_is_bounded_and_nothing_is_lost(self):
        made = extents.Extents()
        for number in range(3 * extents.MOST):
            made.add(number * 100 + (number // 500) * 10**6, 10)
            self.assertLessEqual(len(made), extents.MOST)
        for number in range(3 * extents.MOST):
            start = number * 100 + (number // 500) * 10**6
            self.assertEqual(
                [(start, 10)], list(made.within(start, start + 10))
            )
        # The wide gaps stay.
        self.assertLess(made.bytes, 3 * extents.MOST * 100)
