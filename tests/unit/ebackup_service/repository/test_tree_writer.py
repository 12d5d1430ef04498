# SPDX-License-Identifier: Apache-2.0
import random
import threading
from unittest import mock

from hypothesis import strategies as st

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import page
from ebackup_service.repository import tree
from ebackup_service.repository import tree_writer
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import strategies
from tests.unit.ebackup_service.repository import test_tree

CHUNK = base.CHUNK
MIB = 1024 * 1024
TIB = 1024 * 1024 * MIB
leaf_with = test_tree.leaf_with

# Leaf indices near the edges of pages of all levels, up to 2**20.
EDGES = sorted(
    {
        max(0, edge + delta)
        for edge in (0, 255, 256, 512, 65535, 65536, 131072, 2**20 - 3)
        for delta in (-1, 0, 1, 2)
    }
)
INDICES = st.sampled_from(EDGES)
SIZES = st.sampled_from(
    [1, MIB, 2 * MIB, 255 * MIB, 256 * MIB, 257 * MIB, 513 * MIB + 1,
     65536 * MIB, 65537 * MIB, 65537 * MIB - 1, TIB]
)  # fmt: skip


class WriterTestCase(test_tree.TreeTestCase):
    def content(self, source):
        return {
            index: source.leaf(index).encode() for index in source.leaves()
        }

    def finish(self, session, target):
        where = target.finish()
        session._pages.flush()
        return tree.Tree(self.repo, where, target.geometry.size, CHUNK)


class PutTestCase(WriterTestCase):
    def test_volume_without_bytes_has_no_tree(self):
        session = self.repo.session(base.new_id(), 1)

        self.assertIsNone(session.tree(0, CHUNK, None).finish())

    def test_holes_have_no_tree(self):
        session = self.repo.session(base.new_id(), 1)
        for size in (1, MIB, TIB):
            target = session.tree(size, CHUNK, None)
            target.put_leaf(0, None)
            target.put_leaf(target.geometry.leaves - 1, page.Leaf(
                target.geometry.leaves - 1
            )) if size > MIB else None  # fmt: skip
            self.assertIsNone(target.finish())
        session._pages.flush()
        self.assertEqual(0, session._pages.packs)

    @strategies.given(st.sets(INDICES, max_size=12), st.randoms())
    def test_any_order_makes_the_same_tree(self, indices, shuffle):
        ordered = self.write(TIB, [leaf_with(i, 7) for i in sorted(indices)])
        mixed = list(indices)
        shuffle.shuffle(mixed)

        other = self.write(TIB, [leaf_with(i, 7) for i in mixed])

        self.assertEqual(
            {i: leaf_with(i, 7).encode() for i in indices},
            self.content(other),
        )
        # The ids of inner pages depend on where their children are, so the
        # shapes are compared.
        self.assertEqual(list(ordered.leaves()), list(other.leaves()))

    def test_pages_that_were_written_early_are_changed_again(self):
        indices = [(n % 7) * 256 + n // 7 for n in range(70)]
        with mock.patch.object(tree_writer, '_OPEN', 3):
            found = self.write(TIB, [leaf_with(i, 1) for i in indices])

        self.assertEqual(
            {i: leaf_with(i, 1).encode() for i in indices},
            self.content(found),
        )

    @strategies.given(
        st.lists(INDICES, unique=True, max_size=20), st.integers(1, 4)
    )
    def test_few_open_pages_are_enough(self, indices, most):
        with mock.patch.object(tree_writer, '_OPEN', most):
            found = self.write(TIB, [leaf_with(i, 1) for i in indices])

        self.assertEqual(
            {i: leaf_with(i, 1).encode() for i in indices},
            self.content(found),
        )

    def test_open_pages_are_bounded(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, None)
        for index in range(0, 2**20, 256):
            target.put_leaf(index, leaf_with(index, 0))
            self.assertLessEqual(len(target._open), tree_writer._OPEN + 3)
        found = self.finish(session, target)

        self.assertEqual(4096, sum(1 for _ in found.leaves()))

    def test_many_threads_put(self):
        indices = list(range(0, 3000, 3))
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, None)

        def put(first):
            for index in indices[first::4]:
                target.put_leaf(index, leaf_with(index, 5))

        threads = [threading.Thread(target=put, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        found = self.finish(session, target)
        self.assertEqual(indices, list(found.leaves()))
        self.assertEqual(
            leaf_with(2997, 5).encode(), found.leaf(2997).encode()
        )

    @strategies.given(
        st.lists(INDICES, unique=True, min_size=1, max_size=12),
        st.integers(1, 4),
    )
    def test_another_goes_on_from_a_checkpoint(self, indices, every):
        begun = None
        session_id = base.new_id()
        for first in range(0, len(indices), every):
            session = self.repo.session(session_id, 1)
            target = session.tree(TIB, CHUNK, None, begun)
            for index in indices[first : first + every]:
                target.put_leaf(index, leaf_with(index, 1))
            begun = target.checkpoint()
            session.flush()
            # What comes after it is lost.
            target.put_leaf(2**20 - 1, leaf_with(2**20 - 1, 9))
            session.close()

        found = tree.Tree(self.repo, begun, TIB, CHUNK)
        self.assertEqual(
            {i: leaf_with(i, 1).encode() for i in indices},
            self.content(found),
        )

    def test_writing_goes_on_after_a_checkpoint(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, None)
        for index in (0, 1, 256, 70000):
            target.put_leaf(index, leaf_with(index, 1))
            target.checkpoint()
        found = self.finish(session, target)

        self.assertEqual([0, 1, 256, 70000], list(found.leaves()))

    def test_pages_stay_open_after_a_checkpoint(self):
        """They are neither read again, nor written again as they were."""
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, None)
        with mock.patch.object(session._pages, 'read') as read:
            target.put_leaf(0, leaf_with(0, 1))
            where = target.checkpoint()
            written = session._pages.metadata_bytes
            self.assertEqual(where, target.checkpoint())
            self.assertEqual(written, session._pages.metadata_bytes)
            target.put_leaf(1, leaf_with(1, 1))
            self.assertNotEqual(where, target.checkpoint())
        read.assert_not_called()
        found = self.finish(session, target)
        self.assertEqual([0, 1], list(found.leaves()))

    def test_packs_that_open_pages_know_are_bounded(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, None)
        with mock.patch.object(tree_writer, '_PACKS', 8):
            for index in range(40):
                target.put_leaf(index, leaf_with(index, 1))
                target.checkpoint()
                session.flush_pages()
        known = {key[0]: len(one.packs) for key, one in target._open.items()}
        # One of them has all leaves, each in a pack of its own.
        self.assertEqual(40, known[1])
        self.assertLess(known[2], 10)
        self.assertLess(known[3], 10)
        found = self.finish(session, target)
        self.assertEqual(list(range(40)), list(found.leaves()))

    def test_page_that_can_not_be_written_is_written_later(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, None)
        for index in 0, 256, 70000:
            target.put_leaf(index, leaf_with(index, 1))
        add = session._pages.add
        # There are six inner pages; each attempt writes one more.
        for _ in range(5):
            with mock.patch.object(
                session._pages,
                'add',
                side_effect=[mock.DEFAULT, ZeroDivisionError],
                wraps=add,
            ):
                self.assertRaises(ZeroDivisionError, target.checkpoint)
        found = self.finish(session, target)
        self.assertEqual([0, 256, 70000], list(found.leaves()))

    def test_what_does_not_belong_is_refused(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(MIB + 1, CHUNK, None)

        for index, leaf in (
            (-1, None),
            (2, None),
            (0, leaf_with(1, 0)),
            (1, leaf_with(1, 1)),
        ):
            self.assertRaises(ValueError, target.put_leaf, index, leaf)
        target.put_leaf(1, leaf_with(1, 0))
        target.finish()
        self.assertRaises(ValueError, target.put_leaf, 0, None)


class KeepTestCase(WriterTestCase):
    def test_unchanged_volume_costs_nothing(self):
        old = self.write(TIB, [leaf_with(i, 1) for i in EDGES])
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, old)
        for index in EDGES:
            target.put_leaf(index, leaf_with(index, 1))

        self.assertEqual(old.root, target.finish())
        self.assertEqual(0, session._pages.metadata_bytes)

    def test_kept_volume_costs_nothing(self):
        old = self.write(TIB, [leaf_with(i, 1) for i in EDGES])
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, old)

        target.keep_leaves(0, 2**20)

        self.assertEqual(old.root, target.finish())
        self.assertEqual(0, session._pages.metadata_bytes)

    def test_one_changed_leaf_costs_one_path(self):
        old = self.write(TIB, [leaf_with(i, 1) for i in EDGES])
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, old)
        target.keep_leaves(0, 65536)
        target.put_leaf(65536, leaf_with(65536, 2))
        target.keep_leaves(65537, 2**20)
        found = self.finish(session, target)

        expected = {i: leaf_with(i, 1).encode() for i in EDGES}
        expected[65536] = leaf_with(65536, 2).encode()
        self.assertEqual(expected, self.content(found))
        self.assertEqual(4, session._pages._packs.records)

    def test_base_that_has_lost_pages_enters_all_or_nothing(self):
        leaves = [leaf_with(i, 1) for i in (300, 1280, 2561)]
        where = self.write(TIB, leaves).root
        # One that the range covers, and one on its edge.
        for index in 5, 10:
            lost = tree.Tree(self.repo, where, TIB, CHUNK).where(1, index)
            self.flip(layout.pack_key(lost.pack), lost.offset + 70)
        old = tree.Tree(self.repo, where, TIB, CHUNK)
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, old)
        self.assertRaises(errors.Corrupt, target.keep_leaves, 256, 2600)
        target.keep_leaf(300)
        self.assertRaises(errors.Corrupt, target.keep_leaf, 1280)
        for index in 1280, 2561:
            target.put_leaf(index, leaf_with(index, 2))
        found = self.finish(session, target)
        self.assertEqual(
            {
                300: leaf_with(300, 1).encode(),
                1280: leaf_with(1280, 2).encode(),
                2561: leaf_with(2561, 2).encode(),
            },
            self.content(found),
        )

    def test_base_of_holes(self):
        holes = tree.Tree(self.repo, None, TIB, CHUNK)
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(TIB, CHUNK, holes)
        target.keep_leaves(0, 2**20)

        self.assertIsNone(target.finish())

    def test_what_can_not_be_kept_is_refused(self):
        session = self.repo.session(base.new_id(), 1)
        alone = session.tree(MIB, CHUNK, None)
        self.assertEqual(0, alone.keepable)
        self.assertRaises(ValueError, alone.keep_leaf, 0)

        old = self.write(3 * MIB + 5, [leaf_with(3, 0)])
        for size, keepable in (
            (3 * MIB + 5, 4),
            (3 * MIB + 6, 3),
            (3 * MIB + 4, 3),
            (3 * MIB, 3),
            (MIB - 1, 0),
            (TIB, 3),
        ):
            target = session.tree(size, CHUNK, old)
            self.assertEqual(keepable, target.keepable)
            self.assertRaises(ValueError, target.keep_leaf, keepable)
            if keepable:
                target.keep_leaf(keepable - 1)

    def test_nothing_behind_a_smaller_volume_is_kept(self):
        old = self.write(TIB, [leaf_with(i, 0) for i in (0, 254, 255, 256)])
        session = self.repo.session(base.new_id(), 1)
        for size, kept in ((255 * MIB, [0, 254]), (256 * MIB, [0, 254, 255])):
            target = session.tree(size, CHUNK, old)
            target.keep_leaves(0, size // MIB)
            found = self.finish(session, target)

            self.assertEqual(kept, list(found.leaves()))

    def test_base_with_other_chunks_is_refused(self):
        old = tree.Tree(self.repo, None, MIB, 2 * CHUNK)
        session = self.repo.session(base.new_id(), 1)

        self.assertRaises(ValueError, session.tree, MIB, CHUNK, old)

    @strategies.given(
        old_size=SIZES,
        new_size=SIZES,
        old_leaves=st.sets(INDICES, max_size=10),
        changed=st.dictionaries(
            INDICES, st.sampled_from(['put', 'hole']), max_size=6
        ),
        cuts=st.lists(INDICES, max_size=4),
        most=st.sampled_from([1, 3, 32]),
        checkpoints=st.integers(0, 3),
        seed=st.integers(0, 1000),
    )
    def test_model(
        self,
        old_size,
        new_size,
        old_leaves,
        changed,
        cuts,
        most,
        checkpoints,
        seed,
    ):
        """Any mixture of put, kept and unmentioned leaves on any base."""

        def slot(size, index):
            return 0 if (index + 1) * MIB > size else 9

        old = self.write(
            old_size,
            [
                leaf_with(i, slot(old_size, i))
                for i in sorted(old_leaves)
                if i * MIB < old_size
            ],
        )
        expected = {}
        session = self.repo.session(base.new_id(), 1)
        with mock.patch.object(tree_writer, '_OPEN', most):
            target = session.tree(new_size, CHUNK, old)
            end = target.geometry.leaves
            calls = []
            for index, what in changed.items():
                if index < end:
                    leaf = None
                    if what == 'put':
                        leaf = leaf_with(
                            index, slot(new_size, index), mark=b'new'
                        )
                        expected[index] = leaf.encode()
                    calls.append((target.put_leaf, index, leaf))
            # What isn't changed is kept, but for every third range.
            edges = sorted(
                {0, target.keepable}
                | {e for c in changed for e in (c, c + 1)}
                | set(cuts)
            )
            edges = [e for e in edges if e <= target.keepable]
            for number, (start, stop) in enumerate(
                zip(edges, edges[1:], strict=False)
            ):
                if start in changed or (seed + number) % 3 == 0:
                    continue
                calls.append((target.keep_leaves, start, stop))
                for index in old.leaves(start, stop):
                    expected[index] = old.leaf(index).encode()
            calls += [(target.checkpoint,)] * checkpoints
            random.Random(seed).shuffle(calls)
            held = {}
            for call, *arguments in calls:
                answer = call(*arguments)
                if call == target.put_leaf:
                    index, leaf = arguments
                    if leaf is not None:
                        held[index] = leaf.encode()
                elif call == target.keep_leaves:
                    for index in old.leaves(*arguments):
                        held[index] = old.leaf(index).encode()
                else:
                    session.flush_pages()
                    written = session.counters.metadata_bytes
                    self.assertEqual(answer, target.checkpoint())
                    self.assertEqual(written, session.counters.metadata_bytes)
                    self.assertEqual(
                        held,
                        self.content(
                            tree.Tree(self.repo, answer, new_size, CHUNK)
                        ),
                    )
            found = self.finish(session, target)

        self.assertEqual(expected, self.content(found))
