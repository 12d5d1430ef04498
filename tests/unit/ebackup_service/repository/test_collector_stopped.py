# SPDX-License-Identifier: Apache-2.0
"""Collections that damage, a failure or another owner stops."""

import os
from unittest import mock

from ebackup_service.repository import collector
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import liveness
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_collector


class OwnerTestCase(test_collector.CollectorTestCase):
    """Another service takes the repository over meanwhile."""

    def setUp(self):
        super().setUp()
        self.dead = self.backup(self.data)
        self.abandoned = self.store(os.urandom(test_collector.MIB))
        self.before = self.keys()
        self.asked = 0

    def collect(self, check_owner):
        def asked():
            self.asked += 1
            check_owner()

        return collector.collect(
            self.repo,
            lambda ids: liveness.Live({self.dead.id}, [], set()),
            base.nothing_to_check,
            asked,
        )

    def refused_at(self, time):
        def check_owner():
            if self.asked == time:
                raise errors.ForeignOwner('taken over')

        self.assertRaises(errors.ForeignOwner, self.collect, check_owner)

    def test_before_anything_is_removed(self):
        self.refused_at(1)

        self.assertEqual(self.before, self.keys())

    def test_before_data_is_removed(self):
        """Of what it removed it has left word to whoever took over."""
        self.refused_at(2)

        self.assertEqual(
            {k for k in self.before if k.startswith(layout.PACKS)},
            self.keys(layout.PACKS),
        )
        self.assertTrue(self.storage.size(layout.tombstone_key(self.dead.id)))

    def test_afterwards_it_may_go_on(self):
        self.collect(lambda: None)

        self.assertEqual(2, self.asked)
        self.assertEqual(set(), self.keys(layout.PACKS))

    def test_session_that_nobody_knows_commits_at_the_last_moment(self):
        def commit():
            if self.asked == 1:
                self.abandoned.session.mark_committed(self.abandoned.id)

        error = self.assertRaises(errors.ForeignOwner, self.collect, commit)

        self.assertIn(self.abandoned.id, str(error))
        self.assertEqual(self.abandoned.data, self.restore(self.abandoned.id))


class DamageTestCase(test_collector.CollectorTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.backup(self.data)
        self.garbage = self.store(os.urandom(test_collector.MIB))
        self.garbage_keys = self.keys(
            layout.session_prefix(self.garbage.session.id)
        )

    def refused(self):
        before = self.keys()
        self.assertRaises(errors.Corrupt, self.collect)
        self.assertEqual(before, self.keys())

    def test_damaged_root_stops_it(self):
        self.flip(layout.root_key(self.image.id), 200)
        self.refused()

        # A way out: the operator deletes the image.
        self.repo.delete_image(self.image.id)
        self.collect()
        self.assertEqual(set(), self.keys(layout.PACKS))

    def test_damaged_marker_stops_it(self):
        self.flip(layout.commit_key(self.image.id), 200)
        self.refused()

    def test_missing_root_stops_it(self):
        self.storage.delete(layout.root_key(self.image.id))
        self.refused()

    def test_dead_ones_may_be_damaged(self):
        self.flip(layout.root_key(self.image.id), 200)
        self.collect(dead={self.image.id})

        self.assertEqual(set(), self.keys(layout.PACKS))

    def test_damaged_page_stops_it(self):
        tree = self.repo.tree(self.image.root)
        for where in (tree.where(0, 1), tree.root):
            self.flip(layout.pack_key(where.pack), where.offset + 80)
            self.refused()
            self.flip(layout.pack_key(where.pack), where.offset + 80)
        self.collect()
        self.assertEqual(set(), self.garbage_keys & self.keys())

    def test_missing_data_pack_does_not_stop_it(self):
        where = self.repo.tree(self.image.root).leaf(0).locator(0)
        self.storage.delete(layout.pack_key(where.pack))
        self.collect()

        self.assertEqual(set(), self.garbage_keys & self.keys())

    def test_storage_in_trouble_stops_it(self):
        with mock.patch.object(
            self.storage,
            'read_into',
            side_effect=errors.StorageUnavailable('away'),
        ):
            self.assertRaises(errors.StorageUnavailable, self.collect)
        self.assertEqual(set(), self.garbage_keys - self.keys())

    def test_check_may_stop_it_anywhere(self):
        """And what is left is right, and collected by the next."""

        class Stopped(Exception):
            pass

        allowed = 0
        while True:
            left = [allowed]

            def check(left=left):
                left[0] -= 1
                if left[0] < 0:
                    raise Stopped

            try:
                collector.collect(
                    self.repo,
                    lambda ids: liveness.Live(set(), [], set()),
                    check,
                )
                break
            except Stopped:
                allowed += 1
            self.assertEqual(self.data, self.restore(self.image.id))

        self.assertGreater(allowed, 20)
        self.assertEqual(set(), self.garbage_keys & self.keys())
