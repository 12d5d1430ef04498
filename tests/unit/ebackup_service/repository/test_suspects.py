# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service.repository import extents
from ebackup_service.repository import layout
from ebackup_service.repository import suspects
from tests.unit.ebackup_service.repository import base

LEAF = base.LEAF


class SuspectsTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.backup(os.urandom(3 * LEAF - 1))
        self.tree = self.repo.tree(self.image.root)

    def packs(self, *pairs, image_id=None):
        known = {image_id or self.image.id: extents.Extents(pairs)}
        found = suspects.packs(self.repo, known, base.nothing_to_check)
        return {
            address
            for key in self.keys(layout.PACKS)
            if (address := layout.parse_pack(key)) in found
        }

    def pack(self, chunk):
        return self.tree.leaf(chunk // 256).locator(chunk % 256).pack

    def test_packs_of_a_range(self):
        self.assertEqual(
            {self.pack(300)}, self.packs((300 * base.CHUNK + 7, 1))
        )

    def test_range_over_leaves_and_behind_the_end(self):
        last = {self.pack(chunk) for chunk in range(255, 768)}

        self.assertEqual(last, self.packs((LEAF - 1, 10 * LEAF)))

    def test_damaged_pages_tell_nothing(self):
        wanted = {self.pack(256)}
        where = self.tree.where(0, 0)
        self.flip(layout.pack_key(where.pack), where.offset + 90)

        self.assertEqual(wanted, self.packs((0, 1), (LEAF, 1)))

    def test_images_that_are_gone_or_damaged_tell_nothing(self):
        self.assertEqual(set(), self.packs((0, 1), image_id=base.new_id()))
        self.flip(layout.root_key(self.image.id), 200)
        self.assertEqual(set(), self.packs((0, 1)))
