# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from hypothesis import strategies as st

from ebackup_service.repository import difference
from ebackup_service.repository import layout
from ebackup_service.repository import page
from ebackup_service.repository import tree
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import strategies
from tests.unit.ebackup_service.repository import test_tree

MIB = 1024 * 1024
TIB = 1024 * 1024 * MIB
leaf_with = test_tree.leaf_with

INDICES = st.sampled_from([0, 1, 255, 256, 257, 65535, 65536, 2**20 - 1])
SIZES = st.sampled_from([1, MIB, 200 * MIB, 300 * MIB, 70000 * MIB, TIB])


class LeavesTestCase(test_tree.TreeTestCase):
    def again(self, source):
        """The same tree, of which no page is loaded."""
        return tree.Tree(self.repo, source.root, source.size, base.CHUNK)

    def damage(self, source, level, index):
        where = source.where(level, index)
        self.flip(layout.pack_key(where.pack), where.offset + 70)
        return self.again(source)

    @strategies.given(SIZES, SIZES, *[st.sets(INDICES)] * 3)
    def test_those_that_differ(self, size, other_size, indices, more, changed):
        one = self.write(
            size, [leaf_with(i, 0) for i in indices if i * MIB < size]
        )
        other = self.write(
            other_size,
            [
                leaf_with(i, 0, mark=b'n' if i in changed else b'x')
                for i in indices ^ more
                if i * MIB < other_size
            ],
        )

        def encoded(source, index):
            leaf = source.leaf(index)
            return None if leaf is None else leaf.encode()

        expected = [
            i
            for i in sorted({*one.leaves(), *other.leaves()})
            if encoded(one, i) != encoded(other, i)
        ]
        self.assertEqual(expected, list(difference.leaves(one, other)))
        self.assertEqual(expected, list(difference.leaves(other, one)))

    def test_what_is_common_is_not_read(self):
        old = self.write(TIB, [leaf_with(i * 256, 0) for i in range(100)])
        new = self.write(
            TIB, [leaf_with(i * 256, int(i == 5)) for i in range(100)], old
        )
        one, other = self.again(new), self.again(old)
        with mock.patch.object(
            self.storage, 'read_into', wraps=self.storage.read_into
        ) as read_into:
            self.assertEqual([5 * 256], [*difference.leaves(one, other)])
            self.assertLessEqual(read_into.call_count, 2 * 3)

    def test_all_below_a_damaged_page_may_differ(self):
        one = self.write(TIB, [leaf_with(i, 0) for i in (0, 300, 70000)])
        other = self.write(TIB, [leaf_with(i, 1) for i in (300, 70000)])
        expected = [0, *range(256, 512), 70000]
        for pair in (
            (self.damage(one, 1, 1), self.again(other)),
            (self.again(other), self.again(one)),
        ):
            self.assertEqual(expected, list(difference.leaves(*pair)))

    def test_damaged_root(self):
        one = self.write(3 * MIB, [leaf_with(0, 0)])
        other = self.write(2 * MIB, [leaf_with(1, 0)])
        one = self.damage(one, 1, 0)

        self.assertEqual([0, 1, 2], list(difference.leaves(one, other)))

    def test_another_chunk_size(self):
        one = tree.Tree(self.repo, None, MIB, base.CHUNK)
        other = tree.Tree(self.repo, None, MIB, 2 * base.CHUNK)
        self.assertRaises(ValueError, list, difference.leaves(one, other))


class ChunksTestCase(test_tree.TreeTestCase):
    def test_chunks(self):
        one, other = leaf_with(3, 0, 7, 9), leaf_with(3, 7, 255)
        for pair in ((one, other), (other, one)):
            mask = difference.chunks(*pair)
            self.assertEqual([0, 9, 255], mask.nonzero()[0].tolist())
        self.assertEqual(
            [0, 7, 9], difference.chunks(None, one).nonzero()[0].tolist()
        )
        self.assertFalse(difference.chunks(None, None).any())
        self.assertEqual(page.FANOUT, len(difference.chunks(None, one)))
