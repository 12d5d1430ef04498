# SPDX-License-Identifier: Apache-2.0
"""Restores to volumes of which it is known what they hold."""

import random

from ebackup_service.engine import lost as restore_lost
from ebackup_service.engine import restore
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import tree
from tests.unit.ebackup_service.engine import volumes

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF
DATA, HOLE, UNCHANGED = volumes.DATA, volumes.HOLE, volumes.UNCHANGED
SIZE = 6 * LEAF + 777


class KnownTestCase(volumes.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.random = random.Random(7)
        content = bytearray(volumes.noise(SIZE))
        content[LEAF : 3 * LEAF] = bytes(2 * LEAF)
        self.image, _ = self.back_up(bytes(content))
        self.old = bytes(content)
        # What the volume held when its anchor was taken.
        for offset, length in (
            (5, 3),
            (2 * LEAF, CHUNK),
            (4 * LEAF + 3 * CHUNK, 2 * CHUNK),
            (SIZE - 1, 1),
        ):
            content[offset : offset + length] = self.random.randbytes(length)
        content[5 * LEAF : 5 * LEAF + 2 * CHUNK] = bytes(2 * CHUNK)
        self.anchor, _ = self.back_up(bytes(content))
        self.content = content
        self.named = []

    def change(self, offset, length):
        """Of the volume, since the anchor."""
        data = self.random.randbytes(length)
        self.content[offset : offset + length] = data
        self.named.append((offset, length, DATA))

    def discard(self, offset, length):
        self.content[offset : offset + length] = bytes(length)
        self.named.append((offset, length, HOLE))

    def known(self, target):
        source = volumes.MemorySource(
            bytes(target.content), sorted(self.named), UNCHANGED
        )
        return restore.Known(self.anchor, source)

    def put_back(self, target=None, image=None, **values):
        target = target or volumes.MemoryTarget(bytes(self.content))
        statistics = self.restore(
            image or self.image, target, known=self.known(target), **values
        )
        self.assertEqual([], target.reads)
        self.assertEqual(0, statistics['bytes_read'])
        return target, statistics

    def assertOld(self, target):
        self.assertEqual(self.old, bytes(target.content[:SIZE]))
        self.assertEqual(1, target.flushed)

    def test_nothing_differs(self):
        target, statistics = self.put_back(image=self.anchor)
        self.assertEqual(0, statistics['bytes_written'])
        self.assertEqual(bytes(self.content), bytes(target.content))

    def test_what_the_images_differ_in_is_written(self):
        target, statistics = self.put_back()
        self.assertOld(target)
        self.assertEqual(
            1 * CHUNK + 2 * CHUNK + 2 * CHUNK + 777,
            statistics['bytes_written'],
        )
        self.assertEqual([(2 * LEAF, CHUNK)], target.zeroed)

    def test_what_changed_since_is_written(self):
        self.change(7 * CHUNK + 1, CHUNK)
        target, statistics = self.put_back(image=self.anchor)
        self.assertEqual(2 * CHUNK, statistics['bytes_written'])

    def test_both(self):
        self.change(LEAF + 5, 7)
        self.change(4 * LEAF + 4 * CHUNK, 1)
        self.discard(3 * LEAF - CHUNK, LEAF + 2 * CHUNK)
        self.discard(5 * LEAF, LEAF)
        target, _ = self.put_back()
        self.assertOld(target)

    def test_all_of_it_was_discarded(self):
        self.discard(0, SIZE)
        target, statistics = self.put_back()
        self.assertOld(target)
        self.assertEqual([], target.zeroed)

    def test_target_is_larger(self):
        self.content += bytes(LEAF)
        tail = self.random.randbytes(LEAF)
        self.content[SIZE:] = tail
        # What was beyond its end, an anchor says nothing of.
        target, _ = self.put_back()
        self.assertOld(target)
        self.assertEqual(tail, bytes(target.content[SIZE:]))

    def test_any_history(self):
        for _ in range(15):
            self.content = bytearray(self.content)
            for _ in range(self.random.randrange(6)):
                offset = self.random.randrange(SIZE)
                length = min(self.random.randrange(LEAF), SIZE - offset)
                act = self.random.choice((self.change, self.discard))
                if not any(
                    o < offset + length and offset < o + n
                    for o, n, _ in self.named
                ):
                    act(offset, length)
            target, _ = self.put_back()
            self.assertOld(target)

    def test_page_of_the_known_image_is_lost(self):
        self.change(7 * CHUNK, CHUNK)
        self.damage(self.anchor.where(0, 3))
        self.anchor = tree.Tree(self.repo, self.anchor.root, SIZE, CHUNK)
        target, _ = self.put_back()
        self.assertOld(target)

    def test_page_of_the_image_is_lost(self):
        self.discard(0, SIZE)
        self.damage(self.image.where(0, 3))
        image = tree.Tree(self.repo, self.image.root, SIZE, CHUNK)
        self.assertRaises(
            repository_errors.Corrupt, self.put_back, image=image
        )
        lost = restore_lost.Lost()
        target, _ = self.put_back(image=image, lost=lost)
        self.assertEqual([(3 * LEAF, LEAF)], list(lost.extents))
        self.assertEqual(
            self.old[: 3 * LEAF] + bytes(LEAF) + self.old[4 * LEAF :],
            bytes(target.content),
        )

    def test_new_volume_is_written_whatever_is_known(self):
        target = volumes.MemoryTarget(bytes(self.content))
        statistics = self.restore(
            self.image, target, True, known=self.known(target)
        )
        self.assertOld(target)
        self.assertGreater(statistics['bytes_written'], 3 * LEAF)
