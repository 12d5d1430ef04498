# SPDX-License-Identifier: Apache-2.0
import hypothesis
from hypothesis import strategies as st
import numpy as np

from ebackup_service.engine import plan
from ebackup_service.production import base as contract
from ebackup_service.production import errors
from ebackup_service.repository import extents as ranges
from tests import base

DATA, HOLE, UNCHANGED = plan.DATA, plan.HOLE, plan.UNCHANGED
CHUNK = 16
LEAF = 4  # chunks
SPAN = CHUNK * LEAF


def extents(*triples):
    return [contract.Extent(*triple) for triple in triples]


class CoverTest(base.BaseTestCase):
    def cover(self, *triples, size=1000, gaps=HOLE, trusted=1000):
        return list(plan.cover(extents(*triples), size, gaps, trusted))

    def test_gaps_are_filled(self):
        self.assertEqual(
            [
                (0, 100, HOLE),
                (100, 300, DATA),
                (300, 1000, HOLE),
            ],
            self.cover((100, 200, DATA)),
        )

    def test_nothing_named(self):
        self.assertEqual([(0, 1000, HOLE)], self.cover())

    def test_empty_volume(self):
        self.assertEqual([], self.cover(size=0))

    def test_neighbours_of_one_kind_are_one(self):
        self.assertEqual(
            [(0, 200, DATA), (200, 1000, HOLE)],
            self.cover((0, 100, DATA), (100, 100, DATA), (200, 9, HOLE)),
        )

    def test_extent_without_bytes(self):
        self.assertEqual(
            [(0, 1000, HOLE)], self.cover((5, 0, HOLE), (7, 0, DATA))
        )

    def test_nothing_to_be_unchanged_from(self):
        for trusted, expected in (
            (0, [(0, 1000, DATA)]),
            (600, [(0, 600, UNCHANGED), (600, 1000, DATA)]),
            (1000, [(0, 1000, UNCHANGED)]),
        ):
            self.assertEqual(
                expected, self.cover(gaps=UNCHANGED, trusted=trusted)
            )

    def test_damage_is_read_where_nothing_has_changed(self):
        self.assertEqual(
            [
                (0, 100, UNCHANGED),
                (100, 130, DATA),
                (130, 400, UNCHANGED),
                (400, 500, HOLE),
                (500, 510, DATA),
                (510, 600, UNCHANGED),
                (600, 1000, DATA),
            ],
            list(
                plan.cover(
                    extents((400, 100, HOLE)),
                    1000,
                    UNCHANGED,
                    600,
                    ranges.Extents([(100, 30), (450, 60), (590, 0)]),
                )
            ),
        )

    def test_holes_need_no_trust(self):
        self.assertEqual(
            [(0, 10, DATA), (10, 1000, HOLE)],
            self.cover((10, 990, HOLE), gaps=UNCHANGED, trusted=0),
        )

    def test_malformed(self):
        for name, triples in {
            'unsorted': [(100, 10, DATA), (50, 10, DATA)],
            'overlapping': [(100, 10, DATA), (105, 10, DATA)],
            'behind the end': [(999, 2, DATA)],
            'before the start': [(-1, 2, DATA)],
            'negative length': [(10, -1, DATA)],
        }.items():
            with self.subTest(name):
                self.assertRaises(errors.ExtentsInvalid, self.cover, *triples)


class TasksTest(base.BaseTestCase):
    def tasks(self, *runs, size=None):
        size = runs[-1][1] if size is None else size
        answer = []
        for task in plan.tasks(
            [plan.Run(*run) for run in runs], size, CHUNK, LEAF
        ):
            if isinstance(task, plan.LeafTask) and task.kinds is not None:
                task = (task.leaf, task.kinds.tolist())
            answer.append(tuple(task))
        return answer

    def test_all_data(self):
        self.assertEqual(
            [(0, None), (1, None), (2, None)],
            self.tasks((0, 2 * SPAN + 1, DATA)),
        )

    def test_holes_of_any_size_are_one_step(self):
        far = SPAN * 10**12
        self.assertEqual(
            [(0, 10**12, HOLE), (10**12, None)],
            self.tasks((0, far, HOLE), (far, far + SPAN, DATA)),
        )

    def test_chunk_of_two_kinds_is_read(self):
        self.assertEqual(
            [(0, [UNCHANGED, DATA, HOLE, HOLE])],
            self.tasks((0, 17, UNCHANGED), (17, SPAN, HOLE)),
        )

    def test_several_kinds_inside_one_chunk(self):
        self.assertEqual(
            [(0, [DATA, UNCHANGED, UNCHANGED, UNCHANGED])],
            self.tasks((0, 3, HOLE), (3, 5, DATA), (5, SPAN, UNCHANGED)),
        )

    def test_short_last_chunk_is_whole(self):
        self.assertEqual(
            [(0, [DATA, HOLE])],
            self.tasks((0, 16, DATA), (16, 20, HOLE)),
        )
        self.assertEqual([(0, 1, HOLE)], self.tasks((0, 1, HOLE)))

    def test_run_over_several_leaves(self):
        self.assertEqual(
            [
                (0, [DATA, HOLE, HOLE, HOLE]),
                (1, 3, HOLE),
                (3, [HOLE, HOLE, DATA, DATA]),
            ],
            self.tasks(
                (0, 16, DATA),
                (16, 3 * SPAN + 32, HOLE),
                (3 * SPAN + 32, 4 * SPAN, DATA),
            ),
        )

    def test_empty_volume(self):
        self.assertEqual([], self.tasks(size=0))

    @hypothesis.given(
        cuts=st.lists(
            st.tuples(
                st.integers(1, 3 * SPAN),
                st.sampled_from(list(contract.ExtentKind)),
            ),
            min_size=1,
            max_size=12,
        )
    )
    def test_every_chunk_gets_the_kind_that_covers_it_whole(self, cuts):
        """Against a table with one kind a byte."""
        kinds = [kind for length, kind in cuts for _ in range(length)]
        size = len(kinds)
        position, named = 0, []
        for length, kind in cuts:
            named.append(contract.Extent(position, length, kind))
            position += length
        found = {}
        for task in plan.tasks(
            plan.cover(named, size, HOLE, size), size, CHUNK, LEAF
        ):
            if isinstance(task, plan.SkipTask):
                for slot in range(task.start * LEAF, task.stop * LEAF):
                    found[slot] = task.kind
                continue
            for slot in range(LEAF):
                if task.kinds is None:
                    found[task.leaf * LEAF + slot] = DATA
                elif slot < len(task.kinds):
                    found[task.leaf * LEAF + slot] = task.kinds[slot]
        for slot in range(-(-size // CHUNK)):
            inside = set(kinds[slot * CHUNK : (slot + 1) * CHUNK])
            expected = inside.pop() if len(inside) == 1 else DATA
            self.assertEqual(expected, found[slot], slot)


class ToReadTest(base.BaseTestCase):
    def ask(self, kinds, count):
        if kinds is not None:
            kinds = np.array(kinds, dtype=np.uint8)
        return plan.to_read(plan.LeafTask(0, kinds), count).tolist()

    def test_all(self):
        self.assertEqual([True] * 3, self.ask(None, 3))

    def test_data_only(self):
        self.assertEqual(
            [False, True, False], self.ask([HOLE, DATA, UNCHANGED], 3)
        )


class AfterTest(base.BaseTestCase):
    WORK = [
        plan.LeafTask(0, None),
        plan.SkipTask(1, 5, HOLE),
        plan.LeafTask(5, None),
    ]

    def test_nothing_is_done_yet(self):
        self.assertEqual(self.WORK, list(plan.after(self.WORK, 0)))

    def test_what_is_done_is_left_out(self):
        self.assertEqual(self.WORK[1:], list(plan.after(self.WORK, 1)))
        self.assertEqual(self.WORK[2:], list(plan.after(self.WORK, 5)))
        self.assertEqual([], list(plan.after(self.WORK, 6)))

    def test_rest_of_a_range_is_left(self):
        self.assertEqual(
            [plan.SkipTask(3, 5, HOLE), plan.LeafTask(5, None)],
            list(plan.after(self.WORK, 3)),
        )


class TaskTest(base.BaseTestCase):
    def test_weight_is_what_is_read(self):
        some = np.array([DATA, HOLE, DATA, HOLE], dtype=np.uint8)
        none = np.full(LEAF, HOLE, dtype=np.uint8)
        self.assertEqual(
            [LEAF, 2, 1, 1],
            [
                plan.weight(task, LEAF)
                for task in (
                    plan.LeafTask(1, None),
                    plan.LeafTask(1, some),
                    plan.LeafTask(1, none),
                    plan.SkipTask(1, 1000, HOLE),
                )
            ],
        )

    def test_end_is_the_leaf_behind(self):
        self.assertEqual(8, plan.end(plan.LeafTask(7, None)))
        self.assertEqual(9, plan.end(plan.SkipTask(7, 9, HOLE)))
