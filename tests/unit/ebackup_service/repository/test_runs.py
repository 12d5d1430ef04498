# SPDX-License-Identifier: Apache-2.0
from hypothesis import strategies as st

from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import runs
from tests import base
from tests.unit.ebackup_service.repository import strategies

MIB = 1024 * 1024


def leaf_of(*places):
    """A leaf whose slots hold (ordinal of the pack, offset, length)."""
    leaf = page.Leaf(0)
    for slot, (ordinal, offset, length) in enumerate(places):
        pack = location.PackAddress(bytes(16), location.DATA, ordinal)
        leaf.set(slot, location.Locator(bytes(32), pack, offset, length, 1))
    return leaf


def planned(leaf, slots=None):
    return [
        (run.pack.ordinal, run.begin, run.length, run.slots)
        for run in runs.plan(leaf, slots)
    ]


class PlanTestCase(base.BaseTestCase):
    def test_nothing(self):
        self.assertEqual([], planned(page.Leaf(0)))
        self.assertEqual([], planned(leaf_of((1, 0, 100)), [7]))
        self.assertEqual([], planned(leaf_of((1, 0, 100)), []))

    def test_neighbours_are_read_at_once_whatever_their_order(self):
        leaf = leaf_of((1, 300, 100), (1, 100, 100), (1, 200, 100))

        self.assertEqual([(1, 100, 300, [1, 2, 0])], planned(leaf))

    def test_packs_are_apart(self):
        leaf = leaf_of((1, 100, 100), (2, 200, 100), (1, 200, 100))

        self.assertEqual(
            [(1, 100, 200, [0, 2]), (2, 200, 100, [1])], planned(leaf)
        )

    def test_small_gaps_are_read_large_ones_are_not(self):
        gap = runs.MAX_GAP
        leaf = leaf_of(
            (1, 0, 100), (1, 100 + gap, 100), (1, 201 + 2 * gap, 100)
        )

        self.assertEqual(
            [(1, 0, 200 + gap, [0, 1]), (1, 201 + 2 * gap, 100, [2])],
            planned(leaf),
        )

    def test_runs_have_a_length_to_stop_at(self):
        leaf = leaf_of(*((1, number * MIB, MIB) for number in range(20)))

        self.assertEqual(
            [8 * MIB, 8 * MIB, 4 * MIB],
            [length for _, _, length, _ in planned(leaf)],
        )

    def test_only_the_wanted_slots(self):
        leaf = leaf_of((1, 0, 100), (1, 100, 100), (1, 200, 100))

        self.assertEqual([(1, 200, 100, [2])], planned(leaf, [2, 2, 9]))

    def test_one_record_for_two_slots(self):
        leaf = leaf_of((1, 0, 500), (1, 0, 500), (1, 500, 100))

        self.assertEqual([(1, 0, 600, [0, 1, 2])], planned(leaf))

    @strategies.given(
        st.lists(
            st.tuples(
                st.integers(1, 3),
                st.integers(0, 40 * MIB),
                st.integers(65, 4 * MIB),
            ),
            max_size=30,
        )
    )
    def test_runs_cover_every_slot_once(self, places):
        leaf = leaf_of(*places)
        met = []

        for run in runs.plan(leaf):
            self.assertLessEqual(run.length, runs.MAX_LENGTH)
            for slot in run.slots:
                where = leaf.locator(slot)
                self.assertEqual(run.pack, where.pack)
                self.assertLessEqual(run.begin, where.offset)
                self.assertLessEqual(
                    where.offset + where.length, run.begin + run.length
                )
            met += run.slots

        self.assertEqual(list(range(len(places))), sorted(met))
