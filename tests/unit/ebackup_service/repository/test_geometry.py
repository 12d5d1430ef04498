# SPDX-License-Identifier: Apache-2.0
from hypothesis import strategies as st

from ebackup_service.repository import geometry
from tests import base
from tests.unit.ebackup_service.repository import strategies

KIB = 1024
MIB = 1024 * KIB
TIB = 1024 * 1024 * MIB


class GeometryTestCase(base.BaseTestCase):
    def check(self, size, chunks, leaves, height):
        shape = geometry.Geometry(size, 64 * KIB)
        self.assertEqual(
            (chunks, leaves, height),
            (shape.chunks, shape.leaves, shape.height),
        )

    def test_known_sizes(self):
        self.check(0, 0, 0, 0)
        self.check(1, 1, 1, 0)
        self.check(16 * MIB, 256, 1, 0)
        self.check(16 * MIB + 1, 257, 2, 1)
        self.check(4096 * MIB, 65536, 256, 1)
        self.check(4096 * MIB + 1, 65537, 257, 2)
        self.check(TIB, 2**24, 2**16, 2)
        self.check(64 * TIB, 2**30, 2**22, 3)

    def test_impossible_ones_are_refused(self):
        for size, chunk_size in (
            (-1, 65536),
            (2**63, 65536),
            (1, 0),
            (1, 2048),
            (1, 65537),
            (1, 8 * MIB),
        ):
            self.assertRaises(ValueError, geometry.Geometry, size, chunk_size)

    @strategies.given(st.integers(0, 2**50), st.integers(12, 22))
    def test_slots_add_up(self, size, exponent):
        shape = geometry.Geometry(size, 2**exponent)
        last = max(shape.leaves - 1, 0)

        self.assertEqual(shape.chunks, last * 256 + shape.slots(0, last))
        self.assertEqual(0, shape.slots(0, shape.leaves + 1))
        if shape.height:
            self.assertLess(1, shape.slots(shape.height, 0))
            self.assertEqual(0, shape.slots(shape.height, 1))

    @strategies.given(st.integers(1, 2**50), st.integers(12, 22))
    def test_last_chunk_ends_with_the_volume(self, size, exponent):
        shape = geometry.Geometry(size, 2**exponent)
        last = shape.chunks - 1

        self.assertEqual(
            size, last * shape.chunk_size + shape.chunk_length(last)
        )
        self.assertEqual(0, shape.chunk_length(last + 1))

    def test_what_pages_cover(self):
        shape = geometry.Geometry(40 * MIB + 1, 64 * KIB)
        self.assertEqual((0, 40 * MIB + 1), shape.covers(1, 0))
        self.assertEqual((16 * MIB, 16 * MIB), shape.covers(0, 1))
        self.assertEqual((32 * MIB, 8 * MIB + 1), shape.covers(0, 2))
        self.assertEqual(0, shape.covers(0, 3)[1])
