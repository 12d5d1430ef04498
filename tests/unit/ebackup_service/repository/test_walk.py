# SPDX-License-Identifier: Apache-2.0
import os

from hypothesis import strategies as st

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import tree
from ebackup_service.repository import walk
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import strategies
from tests.unit.ebackup_service.repository import test_tree

MIB = 1024 * 1024
TIB = 1024 * 1024 * MIB
leaf_with = test_tree.leaf_with

INDICES = st.sampled_from([0, 1, 255, 256, 257, 65535, 65536, 2**20 - 1])


class WalkerTestCase(test_tree.TreeTestCase):
    def walk(self, new, old=None, damaged=walk.stop):
        return [
            (visited.level, visited.index)
            for visited in walk.Walker(self.repo, damaged).pages(new, old)
        ]

    def every_page(self, source):
        """Locators of all pages of a tree by (level, index)."""
        found = {}
        for index in source.leaves():
            for level in range(source.height + 1):
                key = (level, index >> 8 * level)
                found[key] = source.where(*key)
        return found

    def test_tree_of_holes_has_no_pages(self):
        holes = tree.Tree(self.repo, None, TIB, base.CHUNK)

        self.assertEqual([], self.walk(holes))

    @strategies.given(st.sets(INDICES, min_size=1))
    def test_whole_tree_is_visited_once_parents_first(self, indices):
        made = self.write(TIB, [leaf_with(i, 0) for i in indices])

        met = self.walk(made)

        self.assertEqual(sorted(self.every_page(made)), sorted(met))
        for level, index in met:
            if level < made.height:
                parent = (level + 1, index >> 8)
                self.assertLess(met.index(parent), met.index((level, index)))

    def test_bytes_of_the_pages_that_differ_are_counted(self):
        old = self.write(TIB, [leaf_with(0, 0)])
        new = self.write(TIB, [leaf_with(0, 0), leaf_with(70000, 0)], old)
        places = self.every_page(new)
        walker = walk.Walker(self.repo)

        met = [(v.level, v.index) for v in walker.pages(new, old)]

        self.assertLess(len(met), len(places))
        self.assertEqual(
            sum(places[key].length for key in met), walker.bytes_read
        )

    def test_equal_trees_differ_nowhere(self):
        made = self.write(TIB, [leaf_with(i, 0) for i in (0, 70000)])
        again = tree.Tree(self.repo, made.root, TIB, base.CHUNK)

        self.assertEqual([], self.walk(again, made))

    @strategies.given(
        st.sets(INDICES, min_size=1),
        st.sets(INDICES),
        st.sampled_from([1, 300 * MIB, TIB]),
    )
    def test_pages_that_differ_are_visited(self, indices, changed, old_size):
        old = self.write(
            old_size,
            [leaf_with(i, 0) for i in indices if i * MIB < old_size],
        )
        new = self.write(
            TIB,
            [
                leaf_with(i, 0, mark=b'n' if i in changed else b'x')
                for i in indices
            ],
            old,
        )

        before = {w.id for w in self.every_page(old).values()}
        expected = {
            key
            for key, where in self.every_page(new).items()
            if where.id not in before
        }
        met = self.walk(new, old)
        self.assertEqual(len(met), len(set(met)))
        self.assertEqual(set(), expected - set(met))
        # A page that is no longer the top is met where the tree has grown.
        self.assertLessEqual(len(set(met) - expected), 1)

    def test_damage_stops_the_walk_unless_told_otherwise(self):
        made = self.write(TIB, [leaf_with(i, 0) for i in (0, 1, 2, 300)])
        where = made.where(0, 1)
        self.flip(layout.pack_key(where.pack), where.offset + 70)

        self.assertRaises(errors.Corrupt, self.walk, made)
        damage = []
        met = self.walk(made, damaged=lambda *what: damage.append(what))

        self.assertEqual([(0, 0), (0, 2), (0, 300)], sorted(met)[:3])
        self.assertEqual(1, len(damage))
        self.assertIn(f'at {where.offset}', damage[0][0].name)
        self.assertEqual((0, 1), damage[0][1:])

    def test_damaged_top_is_told(self):
        made = self.write(TIB, [leaf_with(0, 0)])
        os.unlink(os.path.join(self.path, layout.pack_key(made.root.pack)))
        damage = []

        self.assertEqual(
            [], self.walk(made, damaged=lambda *what: damage.append(what))
        )
        self.assertEqual([(3, 0)], [what[1:] for what in damage])

    def test_page_in_a_wrong_place_is_told(self):
        # As entries behind the end of a smaller volume.
        made = self.write(MIB, [leaf_with(0, 255)])
        smaller = tree.Tree(self.repo, made.root, 1, base.CHUNK)
        damage = []

        self.assertEqual(
            [], self.walk(smaller, damaged=lambda *what: damage.append(what))
        )
        self.assertIn('behind the end', str(damage[0][0]))

    def test_damage_in_the_old_tree_is_no_obstacle(self):
        old = self.write(TIB, [leaf_with(i, 0) for i in (0, 300)])
        new = self.write(TIB, [leaf_with(0, 1)], None)
        self.flip(layout.pack_key(old.root.pack), old.root.offset + 70)
        old = tree.Tree(self.repo, old.root, TIB, base.CHUNK)

        self.assertEqual(4, len(self.walk(new, old)))

    def test_damage_in_the_old_tree_if_it_has_to_be_exact(self):
        old = self.write(TIB, [leaf_with(i, 0) for i in (0, 300)])
        new = self.write(TIB, [leaf_with(0, 1)], None)
        self.flip(layout.pack_key(old.root.pack), old.root.offset + 70)
        old = tree.Tree(self.repo, old.root, TIB, base.CHUNK)
        walker = walk.Walker(self.repo, exact=True)

        self.assertRaises(errors.Corrupt, list, walker.pages(new, old))

    def test_whole_small_tree_may_be_a_part_of_a_larger_one(self):
        small = self.write(base.LEAF, [leaf_with(0, 0)])
        large = self.write(
            base.LEAF * 2, [leaf_with(0, 0), leaf_with(1, 0)], small
        )

        self.assertEqual([(1, 0), (0, 1)], self.walk(large, small))
        self.assertEqual([], self.walk(small, large))
