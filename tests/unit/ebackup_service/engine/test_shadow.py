# SPDX-License-Identifier: Apache-2.0
import numpy as np

from ebackup_service.engine import shadow
from ebackup_service.production import errors
from ebackup_service.repository import tree
from tests.unit.ebackup_service.engine import volumes

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF
DATA, HOLE, UNCHANGED = volumes.DATA, volumes.HOLE, volumes.UNCHANGED


class TestWhole(volumes.EngineTestCase):
    def test_nothing_is_believed(self):
        content = volumes.noise(3 * LEAF)
        source = volumes.MemorySource(content, [], gaps=UNCHANGED)
        image, result = self.back_up(shadow.Whole(source))
        self.assertEqual(len(content), result.statistics['bytes_read'])
        self.assertEqual(len(content), source.bytes_read)

    def test_only_what_is_confirmed_counts(self):
        source = volumes.MemorySource(volumes.noise(LEAF))

        def confirm():
            raise errors.SnapshotUnknown('somebody removed it')

        source.confirm = confirm
        self.assertRaises(
            errors.SnapshotUnknown, self.back_up, shadow.Whole(source)
        )


class TestMissed(volumes.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.size = 5 * LEAF + 7
        content = np.frombuffer(volumes.noise(self.size), np.uint8).copy()
        content[LEAF : 2 * LEAF] = 0
        self.content = content

    def make(self):
        """An image of the content as it is now."""
        source = volumes.MemorySource(self.content.tobytes())
        image, _ = self.back_up(source)
        return image

    def missed(self, base, made, named, gaps=UNCHANGED):
        source = volumes.MemorySource(bytes(made.size), named, gaps)
        return shadow.missed(source, base, made).to_json()

    def test_nothing_has_changed(self):
        image = self.make()
        self.assertEqual([], self.missed(image, image, []))

    def test_all_is_named(self):
        base = self.make()
        self.content[5] ^= 1
        self.content[3 * LEAF + 9] ^= 1
        self.content[LEAF + 5] = 1
        made = self.make()
        named = [(0, 1024, DATA), (LEAF, 2 * LEAF + 10, DATA)]
        self.assertEqual([], self.missed(base, made, named))

    def test_what_is_not_named(self):
        base = self.make()
        for offset in (5, LEAF + 5, 3 * LEAF + CHUNK, self.size - 1):
            self.content[offset] ^= 1
        made = self.make()
        self.assertEqual(
            [
                [LEAF, CHUNK],
                [3 * LEAF + CHUNK, CHUNK],
                [5 * LEAF, 7],
            ],
            self.missed(base, made, [(0, CHUNK, DATA)]),
        )

    def test_part_of_a_leaf(self):
        base = self.make()
        for chunk in (3, 4, 5, 9):
            self.content[chunk * CHUNK] ^= 1
        made = self.make()
        self.assertEqual(
            [[3 * CHUNK, 3 * CHUNK]],
            self.missed(base, made, [(9 * CHUNK, CHUNK, DATA)]),
        )

    def test_what_is_said_to_be_zeros(self):
        made = self.make()
        named = [(2 * LEAF, LEAF, DATA), (4 * LEAF, CHUNK, DATA)]
        base = tree.Tree(self.repo, None, self.size, CHUNK)
        self.assertEqual(
            [
                [0, LEAF],
                [3 * LEAF, LEAF],
                [4 * LEAF + CHUNK, LEAF - CHUNK + 7],
            ],
            self.missed(base, made, named, HOLE),
        )

    def test_zeros_that_the_base_has_not(self):
        base = self.make()
        self.content[2 * LEAF : 3 * LEAF] = 0
        made = self.make()
        named = [(2 * LEAF, LEAF, HOLE)]
        self.assertEqual([], self.missed(base, made, named))
        self.assertEqual([[2 * LEAF, LEAF]], self.missed(base, made, []))

    def test_volume_that_has_grown(self):
        base = self.make()
        self.content = np.concatenate([self.content, self.content])
        made = self.make()
        # Nothing can be unchanged from what was not there.
        self.assertEqual([], self.missed(base, made, []))
