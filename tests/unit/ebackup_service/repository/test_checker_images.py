# SPDX-License-Identifier: Apache-2.0
"""Which images have what is damaged."""

import dataclasses
import os

from ebackup_service.repository import checker
from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_checker


class ImagesTestCase(test_checker.CheckerTestCase):
    """Which images are damaged, and where."""

    def damage(self, read_data=True):
        report = self.check(read_data)
        damaged = {i for i, found in self.images_damage.items() if found}
        self.assertEqual(damaged, set(report.damaged_images))
        return report, {
            image_id: [
                (offset // base.CHUNK, -(-length // base.CHUNK))
                for offset, length in found
            ]
            for image_id, found in self.images_damage.items()
        }

    def flip_chunk(self, number, image):
        where = self.chunk(number, image)
        self.flip(layout.pack_key(where.pack), where.offset + 70)

    def test_sound_images_are_told_as_such(self):
        _, damage = self.damage()

        self.assertEqual({self.first.id: [], self.second.id: []}, damage)

    def test_chunk_that_both_images_share(self):
        # In a leaf that both have, and in one that was rewritten.
        self.flip_chunk(300, self.first)
        self.flip_chunk(6, self.first)

        report, damage = self.damage()

        both = [(6, 1), (300, 1)]
        self.assertEqual({self.first.id: both, self.second.id: both}, damage)
        self.assertEqual(2, len(report.damaged_chunks))
        for chunk in report.damaged_chunks:
            self.assertEqual(
                {self.first.id, self.second.id},
                {image['image_id'] for image in chunk['images']},
            )

    def test_chunk_that_was_replaced(self):
        self.flip_chunk(5, self.first)

        _, damage = self.damage()

        self.assertEqual({self.first.id: [(5, 1)], self.second.id: []}, damage)

    def test_chunk_of_the_second_image(self):
        self.flip_chunk(5, self.second)

        _, damage = self.damage()

        self.assertEqual({self.first.id: [], self.second.id: [(5, 1)]}, damage)

    def test_chunk_that_was_stored_again(self):
        where = self.chunk(300)
        session = self.repo.session(base.new_id(), 3)
        tree = self.repo.tree(self.second.root)
        target = session.tree(tree.size, base.CHUNK, tree)
        for index in range(3):
            leaf = tree.leaf(index)
            if index == 1:
                begin = 300 * base.CHUNK
                plain = self.first.data[begin : begin + base.CHUNK]
                leaf.set(44, session.writer().add(where.id, plain))
            target.put_leaf(index, leaf)
        root = session.commit_candidate(
            dataclasses.replace(
                self.second.root,
                image_id=base.new_id(),
                generation=3,
                tree=target.finish(),
            )
        )
        session.mark_committed(root.image_id)
        self.flip_chunk(300, self.first)
        self.flip_chunk(301, self.first)

        _, damage = self.damage()

        self.assertEqual([(300, 2)], damage[self.second.id])
        self.assertEqual([(301, 1)], damage[root.image_id])

    def test_missing_pack(self):
        where = self.chunk(0)
        os.unlink(os.path.join(self.path, layout.pack_key(where.pack)))

        for read_data in (False, True):
            _, damage = self.damage(read_data)

            (start, count), *rest = damage[self.first.id]
            self.assertEqual((0, []), (start, rest))
            self.assertIn((0, 5), damage[self.second.id])
            self.assertIn((6, count - 6), damage[self.second.id])

    def test_leaf_that_both_images_share(self):
        where = self.repo.tree(self.first.root).where(0, 1)
        self.flip(layout.pack_key(where.pack), where.offset + 100)

        _, damage = self.damage(read_data=False)

        leaf = [(256, 256)]
        self.assertEqual({self.first.id: leaf, self.second.id: leaf}, damage)

    def test_top_of_one_image(self):
        where = self.first.root.tree
        self.flip(layout.pack_key(where.pack), where.offset + 100)

        _, damage = self.damage(read_data=False)

        self.assertEqual(
            {self.first.id: [(0, 768)], self.second.id: []}, damage
        )

    def test_image_that_shrank_and_one_that_grew(self):
        data = self.second.data
        small = self.backup(
            data[: 300 * base.CHUNK], base=self.second, generation=3
        )
        large = self.backup(data + data, base=small, generation=4)
        for number in (4, 299, 400):
            self.flip_chunk(number, self.first)

        _, damage = self.damage()

        self.assertEqual([(4, 1), (299, 1)], damage[small.id])
        self.assertEqual([(4, 1), (299, 1)], damage[large.id])

    def test_same_page_in_another_place(self):
        """Two backups at once, in which the same chunk became a hole."""
        data = bytearray(self.second.data)
        data[300 * base.CHUNK : 301 * base.CHUNK] = bytes(base.CHUNK)
        beside, last = (
            self.backup(bytes(data), base=self.second, generation=generation)
            for generation in (3, 4)
        )
        leaves = [self.repo.tree(i.root).where(0, 1) for i in (beside, last)]
        self.assertEqual(leaves[0].id, leaves[1].id)
        self.assertNotEqual(leaves[0].pack, leaves[1].pack)
        self.flip(layout.pack_key(leaves[1].pack), leaves[1].offset + 100)

        _, damage = self.damage()

        self.assertEqual([], damage[beside.id])
        self.assertEqual([(256, 256)], damage[last.id])

    def test_image_that_shrank_from_one_whose_top_is_lost(self):
        small = self.backup(self.second.data[: 200 * base.CHUNK], generation=3)
        where = self.second.root.tree
        self.flip(layout.pack_key(where.pack), where.offset + 100)

        _, damage = self.damage()

        self.assertEqual([(0, 768)], damage[self.second.id])
        self.assertEqual([], damage[small.id])

    def test_base_that_no_root_leads_to(self):
        self.images_damage = {}
        image = self.first
        self.repo.delete_image(image.id)
        where = self.repo.tree(image.root).leaf(0).locator(0)
        self.storage.delete(layout.pack_key(where.pack))
        tree = image.root.tree, image.root.size, image.root.chunk_size
        asked = []

        def bases():
            asked.append(self.images_damage.keys())
            return {image.id: tree}

        report = checker.check(
            self.repo,
            damage.DamagedRecords(),
            base.nothing_to_check,
            self.images_damage.update,
            bases,
        )

        self.assertTrue(self.images_damage[image.id])
        self.assertEqual(1, report.images)
        self.assertNotIn(image.id, report.damaged_images)
        self.assertEqual(2, len(asked))

    def test_image_that_comes_meanwhile(self):
        self.flip_chunk(300, self.first)
        told = []

        def tell(found):
            told.append(found)
            if len(told) == 1:
                self.third = self.backup(
                    self.second.data, base=self.second, generation=3
                )

        records = damage.DamagedRecords()
        where = self.chunk(300)
        records.add(where, errors.Corrupt('chunk', 'here', 'broken'))
        report = checker.check(self.repo, records, base.nothing_to_check, tell)

        self.assertEqual([self.third.id], [*told[1]])
        self.assertTrue(told[1][self.third.id])
        self.assertEqual(3, report.images)
