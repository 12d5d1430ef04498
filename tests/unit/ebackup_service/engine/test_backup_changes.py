# SPDX-License-Identifier: Apache-2.0
"""Where the source, or a check, tells what has to be read."""

from ebackup_service.production import errors
from ebackup_service.repository import extents
from ebackup_service.repository import tree
from tests.unit.ebackup_service.engine import volumes

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF
DATA, HOLE, UNCHANGED = volumes.DATA, volumes.HOLE, volumes.UNCHANGED


class ChangeSourceTest(volumes.EngineTestCase):
    """Sources that say what changed."""

    def setUp(self):
        super().setUp()
        self.old = volumes.noise(4 * LEAF + 100)
        self.base, _ = self.back_up(self.old)

    def back_up_changes(self, new, named, base=None, gaps=UNCHANGED):
        source = volumes.MemorySource(new, named, gaps)
        image, result = self.back_up(source, base)
        return image, source.reads, result

    def test_only_what_changed_is_read(self):
        new = bytearray(self.old)
        new[LEAF + 10 : LEAF + 13] = b'new'
        image, read, _ = self.back_up_changes(
            new, [(LEAF + 10, 3, DATA)], self.base
        )
        self.assertEqual([(LEAF, CHUNK)], read)
        self.assertHolds(new, image)

    def test_nothing_changed(self):
        image, read, result = self.back_up_changes(self.old, [], self.base)
        self.assertEqual([], read)
        self.assertEqual(self.base.root, image.root)
        self.assertEqual(0, result.statistics['chunks_zero'])
        self.assertEqual(100, self.progress.snapshot()['percent'])

    def test_named_as_changed_and_is_not(self):
        image, read, result = self.back_up_changes(
            self.old, [(0, 2 * CHUNK, DATA)], self.base
        )
        self.assertEqual([(0, 2 * CHUNK)], read)
        self.assertEqual(self.base.root, image.root)

    def test_discarded_ranges(self):
        new = bytearray(self.old)
        new[: LEAF + CHUNK] = bytes(LEAF + CHUNK)
        new[2 * LEAF : 2 * LEAF + 10] = bytes(10)
        image, read, _ = self.back_up_changes(
            new,
            [(0, LEAF + CHUNK, HOLE), (2 * LEAF, 10, HOLE)],
            self.base,
        )
        # The second hole is smaller than its chunk: the rest is unchanged.
        self.assertEqual([(2 * LEAF, CHUNK)], read)
        self.assertHolds(new, image)

    def test_without_a_base_everything_is_read(self):
        image, read, result = self.back_up_changes(self.old, [])
        self.assertEqual(len(self.old), result.statistics['bytes_read'])
        self.assertHolds(self.old, image)

    def test_grown(self):
        new = self.old + volumes.noise(LEAF, 2)
        image, read, result = self.back_up_changes(new, [], self.base)
        self.assertHolds(new, image)
        # From the chunk in which the old volume ended.
        self.assertEqual(4 * LEAF, min(offset for offset, _ in read))
        self.assertEqual(LEAF + 100, result.statistics['bytes_read'])

    def test_shrunk_volume_is_read_whole(self):
        new = self.old[: LEAF + 7]
        image, read, result = self.back_up_changes(new, [], self.base)
        self.assertEqual(len(new), result.statistics['bytes_read'])
        self.assertHolds(new, image)

    def test_base_of_zeros(self):
        base, _ = self.back_up(bytes(2 * LEAF))
        image, read, _ = self.back_up_changes(
            b'x' + bytes(2 * LEAF - 1), [(0, 1, DATA)], base
        )
        self.assertEqual([(0, CHUNK)], read)
        self.assertHolds(b'x' + bytes(2 * LEAF - 1), image)

    def test_malformed_extents(self):
        self.assertRaises(
            errors.ExtentsInvalid,
            self.back_up_changes,
            self.old,
            [(10, 10, DATA), (15, 10, DATA)],
            self.base,
        )


class DamagedBaseTest(volumes.EngineTestCase):
    """What the base has lost is taken from the volume."""

    def setUp(self):
        super().setUp()
        self.old = volumes.noise(4 * LEAF)
        self.base, _ = self.back_up(self.old)

    def check(self, content, stored, source=None, *ranges):
        image, result = self.back_up(
            source or content, self.base, damaged=extents.Extents(ranges)
        )
        self.assertEqual(stored, result.statistics['chunks_stored'])
        self.assertHolds(content, image)
        return image, result

    def test_damaged_chunk_is_stored_again(self):
        self.damage(self.base.leaf(1).locator(3))
        place = LEAF + 3 * CHUNK

        image, _ = self.check(self.old, 1, None, (place, CHUNK))

        again = image.leaf(1).locator(3)
        self.assertEqual(self.base.leaf(1).locator(3).id, again.id)
        self.assertNotEqual(self.base.leaf(1).locator(3).pack, again.pack)
        self.assertEqual(self.base.where(0, 2), image.where(0, 2))

    def test_damaged_chunk_is_read_though_it_has_not_changed(self):
        self.damage(self.base.leaf(1).locator(3))
        source = volumes.MemorySource(self.old, [], UNCHANGED)

        _, result = self.check(self.old, 1, source, (LEAF + 3 * CHUNK, CHUNK))

        self.assertEqual(CHUNK, result.statistics['bytes_read'])

    def test_chunk_that_changed_or_became_a_hole(self):
        for slot in (3, 4):
            self.damage(self.base.leaf(1).locator(slot))
        place = LEAF + 3 * CHUNK
        content = bytearray(self.old)
        content[place : place + 2 * CHUNK] = volumes.noise(CHUNK, 5) + bytes(
            CHUNK
        )

        self.check(bytes(content), 1, None, (place, 2 * CHUNK))

    def test_what_is_said_to_be_damaged_and_is_not(self):
        self.check(self.old, 256, None, (2 * LEAF, LEAF))

    def test_damaged_leaf_is_read_whether_it_is_known_or_not(self):
        self.damage(self.base.where(0, 1))
        for ranges in ((), ((LEAF, LEAF),)):
            self.check(self.old, 256, None, *ranges)
            named = [(LEAF, 5, DATA)]
            source = volumes.MemorySource(self.old, named, UNCHANGED)
            _, result = self.check(self.old, 256, source, *ranges)
            self.assertEqual(LEAF, result.statistics['bytes_read'])

    def test_damaged_top(self):
        self.damage(self.base.root)
        self.base = tree.Tree(self.repo, self.base.root, self.base.size, CHUNK)
        self.check(self.old, 1024)
        source = volumes.MemorySource(self.old, [], UNCHANGED)
        self.check(self.old, 1024, source, (0, 4 * LEAF))

    def test_damaged_top_that_nobody_knows_of(self):
        self.damage(self.base.root)
        self.base = tree.Tree(self.repo, self.base.root, self.base.size, CHUNK)
        named = [(LEAF, 5, DATA)]
        source = volumes.MemorySource(self.old, named, UNCHANGED)
        self.check(self.old, 1024, source)
