# SPDX-License-Identifier: Apache-2.0
import struct

from hypothesis import strategies as st

from ebackup_service.repository import location
from ebackup_service.repository import pack_rows
from tests import base
from tests.unit.ebackup_service.repository import hostile
from tests.unit.ebackup_service.repository import strategies

ROW = struct.Struct('<qQ')
FEW = st.builds(
    location.PackAddress,
    st.sampled_from([bytes(16), b'x' * 16]),
    st.sampled_from(location.KINDS),
    st.sampled_from([0, 1, 2, 30, 31, 32, 33, 2**32 - 1]),
)


class PackRowsTestCase(base.BaseTestCase):
    @strategies.given(
        st.lists(st.tuples(FEW | strategies.addresses(), st.integers(1, 9))),
        FEW,
    )
    def test_behaves_as_a_dictionary(self, given, other):
        rows, expected = pack_rows.PackRows(ROW), {}
        for address, number in given:
            ROW.pack_into(*rows.place(address), -number, number)
            expected[address] = -number, number

        found = {address: row for address, row in rows if row != (0, 0)}
        self.assertEqual(expected, found)
        self.assertEqual(sorted(expected), list(found))
        self.assertEqual(
            sorted(expected.values()),
            sorted(row for row in rows.rows() if row != (0, 0)),
        )
        for address in expected:
            self.assertEqual(expected[address], rows.get(address))
        if other not in expected:
            self.assertIn(rows.get(other), (None, (0, 0)))

    def test_row_that_was_placed_is_zero(self):
        rows = pack_rows.PackRows(ROW)
        for ordinal in (7, 3, 12):
            address = location.PackAddress(bytes(16), 1, ordinal)
            block, at = rows.place(address)
            self.assertEqual((0, 0), ROW.unpack_from(block, at))
            ROW.pack_into(block, at, ordinal, 1)
        self.assertEqual(
            [(3, 1), (7, 1), (12, 1)],
            [row for _, row in rows if row != (0, 0)],
        )

    def test_far_ordinals_take_little(self):
        rows = pack_rows.PackRows(ROW)
        for at in (0, 31, 32, 63, 64):
            with hostile.bounded(300 * 10_000):
                for number in range(10_000):
                    ordinal = (number * 64 * 64 + at) % 2**32
                    rows.place(location.PackAddress(bytes(16), 1, ordinal))
            rows = pack_rows.PackRows(ROW)
