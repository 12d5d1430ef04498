# SPDX-License-Identifier: Apache-2.0
import numpy as np

from ebackup_service.repository import needed_records
from tests import base
from tests.unit.ebackup_service.repository import test_live_bytes

address, leaf = test_live_bytes.address, test_live_bytes.leaf


class NeededRecordsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.begin()

    def begin(self):
        self.needed = needed_records.NeededRecords()
        self.needed.watch(address(1), np.array([128, 200, 300], np.uint32))
        self.needed.watch(address(2), np.array([128, 500], np.uint32))

    def of(self, ordinal):
        return self.needed.of(address(ordinal)).tolist()

    def test_nothing_is_needed_at_first(self):
        self.assertEqual([], self.of(1))
        self.assertEqual(5, self.needed.count)
        self.assertEqual({test_live_bytes.SESSION}, self.needed.sessions())

    def test_what_leaves_refer_to(self):
        self.needed.add(leaf((0, 1, 200, 72, 0), (1, 2, 500, 9, 0)))
        self.needed.add(leaf((7, 1, 128, 72, 0), (8, 1, 200, 72, 0)))

        self.assertEqual([128, 200], self.of(1))
        self.assertEqual([500], self.of(2))

    def test_other_packs_are_none_of_ours(self):
        self.needed.add(leaf((0, 3, 128, 72, 0)))

        self.assertEqual([address(1), address(2)], self.needed.packs())

    def test_pack_that_lacks_a_record_is_left_alone(self):
        for offset in (64, 129, 301):
            self.begin()
            self.needed.add(leaf((0, 1, offset, 72, 0), (1, 2, 500, 9, 0)))

            self.assertEqual([address(2)], self.needed.packs())
            self.assertEqual([500], self.of(2))
            # Later leaves don't matter any more.
            self.needed.add(leaf((0, 1, 128, 72, 0)))
