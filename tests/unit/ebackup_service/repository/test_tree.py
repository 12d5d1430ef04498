# SPDX-License-Identifier: Apache-2.0
import os
import threading
from unittest import mock

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import tree
from tests.unit.ebackup_service.repository import base

CHUNK = base.CHUNK
MIB = 1024 * 1024
TIB = 1024 * 1024 * MIB
PACK = location.PackAddress(b'd' * 16, location.DATA, 1)


def leaf_with(index, *slots, mark=b'x'):
    """A leaf; there are no chunks behind it."""
    leaf = page.Leaf(index)
    for slot in slots:
        chunk_id = (mark + b'%d.%d' % (index, slot)).ljust(32, b'.')
        leaf.set(slot, location.Locator(chunk_id, PACK, 128, 1000, 1))
    return leaf


class TreeTestCase(base.RepositoryTestCase):
    def write(self, size, leaves, old=None):
        """A tree with these leaves, in packs that are written."""
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(size, CHUNK, old)
        for leaf in leaves:
            target.put_leaf(leaf.index, leaf)
        where = target.finish()
        session._pages.flush()
        return tree.Tree(self.repo, where, size, CHUNK)


class ReadTestCase(TreeTestCase):
    def test_tree_of_holes(self):
        for size in (0, 1, MIB, TIB):
            holes = tree.Tree(self.repo, None, size, CHUNK)
            self.assertEqual([], list(holes.leaves()))
            self.assertIsNone(holes.leaf(0))
            self.assertIsNone(holes.where(0, 0))
            self.assertIsNone(holes.inner(1, 0))

    def test_one_leaf(self):
        small = self.write(10, [leaf_with(0, 0)])

        self.assertEqual(0, small.height)
        self.assertEqual([0], list(small.leaves()))
        self.assertEqual(leaf_with(0, 0).encode(), small.leaf(0).encode())
        self.assertIsNone(small.leaf(1))

    def test_leaves_below_a_damaged_page(self):
        indices = [0, 1, 256, 65535, 65536, 2**20 - 1]
        made = self.write(TIB, [leaf_with(i, 3) for i in indices])
        for level, index in ((1, 1), (2, 1)):
            where = made.where(level, index)
            self.flip(layout.pack_key(where.pack), where.offset + 70)
        made = tree.Tree(self.repo, made.root, TIB, base.CHUNK)
        met = []

        for leaf in made.leaves(
            damaged=lambda error, *place: met.append(place)
        ):
            met.append(leaf)

        self.assertEqual([0, 1, (1, 1), 65535, (2, 1), 2**20 - 1], met)
        self.assertRaises(errors.Corrupt, list, made.leaves())

    def test_leaves_of_a_large_volume(self):
        indices = [0, 1, 255, 256, 65535, 65536, 2**20 - 1]
        large = self.write(TIB, [leaf_with(i, 3, 200) for i in indices])

        self.assertEqual(3, large.height)
        self.assertEqual((MIB, TIB), (large.leaf_span, large.size))
        self.assertEqual(indices, list(large.leaves()))
        self.assertEqual([256], list(large.leaves(256, 65535)))
        self.assertEqual([65535, 65536], list(large.leaves(257, 65537)))
        self.assertEqual([], list(large.leaves(2, 2)))
        for index in indices:
            self.assertEqual(
                leaf_with(index, 3, 200).encode(),
                large.leaf(index).encode(),
            )
        for index in (2, 300, 70000, 2**20, 2**40):
            self.assertIsNone(large.leaf(index))

    def test_leaf_is_the_callers_own(self):
        small = self.write(10, [leaf_with(0, 0)])
        small.leaf(0).clear(0)

        self.assertFalse(small.leaf(0).empty)

    def test_inner_pages_are_kept_and_bounded(self):
        large = self.write(TIB, [leaf_with(i << 8, 0) for i in range(100)])
        with mock.patch.object(
            self.storage, 'read_into', wraps=self.storage.read_into
        ) as read_into:
            list(large.leaves())
            self.assertEqual(1 + 1 + 100, read_into.call_count)
            large.leaf(99 << 8)
            self.assertEqual(1 + 1 + 100 + 1, read_into.call_count)
        self.assertEqual(tree._CACHED, len(large._inner))

    def test_many_threads_read_one_tree(self):
        indices = [i * 100 for i in range(300)]
        large = self.write(TIB, [leaf_with(i, 1) for i in indices])
        found = []

        def read(first):
            for index in indices[first::4]:
                found.append((index, large.leaf(index).encode()))

        threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(
            [(i, leaf_with(i, 1).encode()) for i in indices], sorted(found)
        )

    def test_impossible_sizes_are_refused(self):
        self.assertRaises(ValueError, tree.Tree, self.repo, None, -1, CHUNK)
        self.assertRaises(ValueError, tree.Tree, self.repo, None, 1, 1000)


class DamageTestCase(TreeTestCase):
    def test_every_byte_of_a_page_pack_matters(self):
        small = self.write(2 * MIB, [leaf_with(0, 1), leaf_with(1, 2)])
        key = layout.pack_key(small.root.pack)
        begin = min(small.where(0, 0).offset, small.root.offset)
        end = small.root.offset + small.root.length
        for offset in range(begin, end):
            self.flip(key, offset, offset % 8)
            damaged = tree.Tree(self.repo, small.root, 2 * MIB, CHUNK)
            try:
                found = [damaged.leaf(0), damaged.leaf(1)]
            except errors.Corrupt as error:
                self.assertEqual('page', error.what)
                self.assertIn(key, error.name)
            else:
                # Nothing but what means the same to the codec passes.
                self.assertEqual(
                    [leaf_with(0, 1).encode(), leaf_with(1, 2).encode()],
                    [leaf.encode() for leaf in found],
                )
            self.flip(key, offset, offset % 8)

    def test_missing_pack_is_damage(self):
        small = self.write(10, [leaf_with(0, 0)])
        os.unlink(os.path.join(self.path, layout.pack_key(small.root.pack)))

        error = self.assertRaises(errors.Corrupt, small.leaf, 0)
        self.assertEqual('pack', error.what)

    def test_entries_behind_the_end_are_damage(self):
        larger = self.write(MIB, [leaf_with(0, 0, 255)])
        for size in (1, MIB - CHUNK):
            smaller = tree.Tree(self.repo, larger.root, size, CHUNK)
            error = self.assertRaises(errors.Corrupt, smaller.leaf, 0)
            self.assertIn('behind the end', str(error))

    def test_root_of_another_height_is_damage(self):
        small = self.write(MIB, [leaf_with(0, 0)])
        wrong = tree.Tree(self.repo, small.root, TIB, CHUNK)

        self.assertRaises(errors.Corrupt, list, wrong.leaves())
