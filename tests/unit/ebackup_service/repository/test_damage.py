# SPDX-License-Identifier: Apache-2.0
import random
import tracemalloc
from unittest import mock

from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import page
from tests import base

ERROR = errors.Corrupt('chunk', 'pack', 'broken')


def locator(ordinal, offset):
    pack = location.PackAddress(b'sessionsessionse', location.DATA, ordinal)
    return location.Locator(bytes(32), pack, offset, 100, 1)


class DamagedRecordsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.records = damage.DamagedRecords()
        self.leaf = page.Leaf(0)
        for slot in range(4):
            self.leaf.set(slot, locator(slot // 2, 100 * slot))

    def test_slots_that_hold_one(self):
        self.records.add(locator(0, 100), ERROR)
        self.records.add(locator(1, 300), ERROR)
        # No slot has these.
        self.records.add(locator(1, 100), ERROR)
        self.records.add(locator(2, 0), ERROR)

        self.assertEqual(
            [1, 3], self.records.of(self.leaf).nonzero()[0].tolist()
        )
        self.assertEqual(4, len(self.records))

    def test_nothing_is_damaged(self):
        self.assertFalse(self.records.of(self.leaf).any())

    def test_one_that_is_read_twice_is_one(self):
        for _ in range(2):
            self.records.add(locator(0, 100), ERROR)

        self.assertEqual(1, len(self.records))

    def test_any_order(self):
        offsets = [100, 200, 300]
        random.shuffle(offsets)
        for offset in (*offsets, *offsets):
            for ordinal in range(2):
                self.records.add(locator(ordinal, offset), ERROR)

        self.assertEqual(
            [1, 2, 3], self.records.of(self.leaf).nonzero()[0].tolist()
        )
        self.assertEqual(6, len(self.records))

    def test_very_many_of_a_pack(self):
        """They take little memory, and none is compared with all others."""
        count = 40000
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        with mock.patch.object(damage, 'TOLD', 0):
            for number in range(count):
                self.records.add(locator(0, 100 * number), ERROR)

        self.assertLess(tracemalloc.get_traced_memory()[0], 8 * count)
        self.assertEqual(count, len(self.records))

    def test_pack_that_is_whole_again(self):
        for where in locator(0, 0), locator(0, 100), locator(1, 300):
            self.records.add(where, ERROR)

        self.assertEqual(2, self.records.forget(locator(0, 0).pack))

        self.assertEqual([(locator(1, 0).pack, 300)], [*self.records.told])
        self.assertEqual(1, len(self.records))
        self.assertEqual([3], self.records.of(self.leaf).nonzero()[0].tolist())
        self.assertEqual(0, self.records.forget(locator(0, 0).pack))

    def test_told_are_bounded(self):
        with mock.patch.object(damage, 'TOLD', 1):
            self.records.add(locator(0, 100), ERROR)
            self.records.add(locator(1, 300), ERROR)

        self.assertEqual([(locator(0, 0).pack, 100)], [*self.records.told])
        self.assertEqual(2, int(self.records.of(self.leaf).sum()))

    def test_lost_packs(self):
        packs = [locator(ordinal, 0).pack for ordinal in range(4)]
        with mock.patch.object(damage, '_LOST', 3):
            for pack in packs:
                self.records.lose(pack, gone=pack == packs[0])

        self.assertEqual(
            {packs[0]: True, packs[1]: False, packs[2]: False},
            self.records.lost,
        )
        self.assertTrue(self.records.find(packs[0]))
        self.assertFalse(self.records.find(packs[0]))
        self.records.forget(packs[1])
        self.assertEqual({packs[2]: False}, self.records.lost)

    def test_packs_of_which_not_all_is_told(self):
        with mock.patch.object(damage, 'TOLD', 3):
            for where in (0, 0), (0, 100), (1, 0), (1, 100), (2, 0):
                self.records.add(locator(*where), ERROR)

        self.assertEqual(
            [locator(1, 0).pack, locator(2, 0).pack], self.records.untold()
        )
