# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service.repository import collector
from ebackup_service.repository import liveness
from ebackup_service.repository import root as image_root
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_compaction

STEPS = 13


def other():
    return image_root.Chain('project', base.new_id())


class ShareTestCase(test_compaction.CompactionTestCase):
    """How far a collection says it is."""

    def setUp(self):
        super().setUp()
        for _ in range(2):
            # Of a session that was interrupted.
            self.store(os.urandom(4 * base.CHUNK), chain=other())
        self.repo.delete_image(self.first.id)
        self.backup(os.urandom(base.CHUNK), chain=other())
        self.shares = []

    def collect_all(self, whole=True):
        collector.collect(
            self.repo,
            lambda ids: liveness.Live(set(), [], set()),
            base.nothing_to_check,
            whole=whole,
            limits=base.COMPACT,
            tell=self.shares.append,
        )

    def steps_with_parts(self):
        """The steps of which parts were told."""
        return {
            int(share * STEPS)
            for share in self.shares
            if abs(share * STEPS - round(share * STEPS)) > 0.01
        }

    def test_grows_to_the_end(self):
        self.collect_all()

        self.assertEqual(sorted(self.shares), self.shares)
        self.assertEqual(1.0, self.shares[-1])

    def test_images_chains_and_packs_are_counted(self):
        self.collect_all()

        # Looking, marking, removing of images and of packs, compacting.
        self.assertEqual({2, 5, 6, 8, 9}, self.steps_with_parts())

    def test_chains_of_which_the_last_collection_knows(self):
        self.collect_all()
        self.shares.clear()

        self.collect_all(whole=False)

        self.assertIn(5, self.steps_with_parts())
