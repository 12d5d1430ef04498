# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import pack_set
from ebackup_service.repository import sample
from tests.unit.ebackup_service.repository import base

PARTS = 4


class SampleTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.backup(os.urandom(3 * 1024 * 1024))
        self.data = [
            address
            for key in self.keys(layout.PACKS)
            if (address := layout.parse_pack(key)).kind == location.DATA
        ]

    def packs(self, *args):
        return [
            address
            for address, size in sample.Sample(*args).packs(
                self.storage, base.nothing_to_check
            )
            if size
        ]

    def test_whole_ring_has_every_data_pack(self):
        self.assertEqual(set(self.data), set(self.packs()))

    def test_neighbouring_arcs_have_every_pack_once(self):
        step = sample.RING // PARTS
        parts = [self.packs(i * step, (i + 1) * step) for i in range(PARTS)]

        self.assertEqual(sorted(self.data), sorted(sum(parts, [])))
        # Packs of one session are spread.
        self.assertTrue(all(parts))

    def test_packs_outside_of_the_arc(self):
        also = pack_set.PackSet()
        also.add(self.data[3])

        self.assertEqual([self.data[3]], self.packs(0, 0, also))

    def test_packs_that_are_gone_come_last(self):
        also = pack_set.PackSet()
        also.update(self.data[:2])
        self.storage.delete(layout.pack_key(self.data[0]))

        everything = [
            *sample.Sample(also=also).packs(
                self.storage, base.nothing_to_check
            )
        ]

        self.assertEqual((self.data[0], 0), everything[-1])
        self.assertEqual(len(self.data), len(everything))

    def test_pack_that_is_not_listed(self):
        also = pack_set.PackSet()
        also.add(self.data[3])
        self.storage.delete(layout.pack_key(self.data[3]))

        self.assertEqual(
            [(self.data[3], 0)],
            [
                *sample.Sample(0, 0, also).packs(
                    self.storage, base.nothing_to_check
                )
            ],
        )

    def test_sizes_of_chosen_data_packs_and_of_all_page_packs(self):
        sizes = {'d': 0, 'p': 0}
        for info in self.storage.list(layout.PACKS):
            sizes[info.key.rpartition('/')[2][0]] += info.size
        for arc, data in (((), sizes['d']), ((0, 0), 0)):
            self.assertEqual(
                (data, sizes['p']),
                sample.Sample(*arc).sizes(self.storage, base.nothing_to_check),
            )

    def test_check_may_stop_it(self):
        packs = sample.Sample().packs(self.storage, lambda: 1 // 0)

        self.assertRaises(ZeroDivisionError, list, packs)
