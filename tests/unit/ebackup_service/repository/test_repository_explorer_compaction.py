# SPDX-License-Identifier: Apache-2.0
"""Compaction beside writers, restores and collections, in every order.

It is part of a collection that looks at everything. See
test_repository_explorer.
"""

from unittest import mock

from ebackup_service.repository import compaction
from ebackup_service.repository import copies
from ebackup_service.repository import layout
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import explorer
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository import stepwise_proxy
from tests.unit.ebackup_service.repository import stepwise_runs
from tests.unit.ebackup_service.repository import test_repository_explorer

ONE, _ = services.CHAINS
Job = stepwise_proxy.Job
Compaction = compaction.Compaction


def volume(*chunks):
    """Of each leaf a chunk is used, or none."""
    return b''.join(
        bytes([chunk]) * base.CHUNK + bytes(base.LEAF - base.CHUNK)
        for chunk in chunks
    )


class CompactionTestCase(test_repository_explorer.ExplorerTestCase):
    """Three images: the pack of the first has a chunk of each."""

    def setUp(self):
        super().setUp()
        self.first = Job('first', 1, volume(1, 2, 3))
        self.second = Job('second', 2, volume(1, 2, 0))
        self.third = Job('third', 3, volume(1, 0, 0))

    def three_images(self, *more):
        return self.world(
            self.first.backup(ONE),
            self.second.backup(ONE),
            self.third.backup(ONE),
            *more,
        )

    def one_image(self, *more):
        """And garbage in its pack."""
        return self.three_images(
            self.first.delete(self.first.image),
            self.second.delete(self.second.image),
            *more,
        )

    def compacted_once(self):
        """And there is garbage again."""
        return self.three_images(
            self.first.delete(self.first.image),
            Job('before', 9).compact(),
            self.second.delete(self.second.image),
        )

    def restored_is_compacted(self):
        return self.explore(
            self.one_image(),
            Job('restore', 4).restore(self.third.image),
            Job('collection', 5).compact(),
        )

    def restored_is_compacted_again(self):
        return self.explore(
            self.compacted_once(),
            Job('restore', 4).restore(self.third.image),
            Job('collection', 5).compact(),
        )

    def restored_is_deleted(self):
        """One image needs all of the pack, the others don't."""
        return self.explore(
            self.three_images(),
            Job('deletion', 4).delete(self.first.image),
            Job('restore', 5).restore(self.first.image),
            Job('collection', 6).compact(),
        )

    def two_compact(self):
        """One has been given up, and goes on; it may have seen more."""
        return self.explore(
            self.three_images(self.first.delete(self.first.image)),
            Job('deletion', 4).begin_to_delete(self.second.image),
            Job('collection', 5).compact(late=True),
            Job('another', 6).compact(late=True),
        )

    def backup_runs_again(self):
        """It is taken back from a run; its base was deleted."""
        runs = stepwise_runs.Runs(7, self.second.image, volume(4, 2, 0))
        world = self.world(
            self.first.backup(ONE),
            self.second.backup(ONE),
            self.first.delete(self.first.image),
        )
        deletion = self.second.delete(self.second.image)
        return self.explore(
            explorer.Explorer(
                [deletion], runs.reserved(world, ONE), lambda world: None
            ).undisturbed(),
            runs.first(),
            runs.second(),
            Job('collection', 4).compact(),
        )


class OrdersTestCase(CompactionTestCase):
    def compacted(self, world):
        return [
            key for key in world.objects if key.startswith(layout.COMPACTED)
        ]

    def test_what_these_worlds_are(self):
        self.assertEqual([], self.compacted(self.one_image()))
        (before,) = self.compacted(self.compacted_once())
        (once,) = self.compacted(self.one_image(Job('one', 9).compact()))
        self.assertEqual(1, layout.compacted_name(before)[0])
        self.assertEqual(1, layout.compacted_name(once)[0])
        self.assertNotEqual(before, once)

    def test_restore(self):
        self.assertLess(20, self.restored_is_compacted())

    def test_restore_of_what_is_compacted_again(self):
        self.assertLess(100, self.restored_is_compacted_again())

    def test_image_that_is_deleted_while_it_is_restored(self):
        self.assertLess(1000, self.restored_is_deleted())

    def test_two_that_compact(self):
        self.assertLess(1000, self.two_compact())

    def test_collection_beside_a_compaction(self):
        states = self.explore(
            self.one_image(),
            Job('deletion', 4).delete(self.third.image),
            Job('collection', 5).compact(late=True),
            Job('another', 6).collect(late=True),
        )

        self.assertLess(1000, states)

    def test_backup_that_runs_again(self):
        self.assertLess(1000, self.backup_runs_again())

    def test_two_backups_a_restore_and_a_compaction(self):
        """One writes data and pages, the other one pages only."""
        states = self.explore(
            self.one_image(),
            Job('one', 4, volume(1, 4, 0)).backup(ONE),
            Job('two', 5, volume(1, 0, 0)).backup(ONE),
            Job('restore', 6).restore(self.third.image),
            Job('collection', 7).compact(),
        )

        self.assertLess(10000, states)


class SeededBugTestCase(CompactionTestCase):
    """What is wrong is found, and how it came to it is told."""

    def assert_found(self, explore, problem):
        test_repository_explorer.assert_found(self, explore, problem)

    def test_pack_that_goes_before_it_is_compacted(self):
        compact = Compaction._compact

        def early(self, address, *args):
            self._repo.storage.delete(layout.pack_key(address))
            return compact(self, address, *args)

        with mock.patch.object(Compaction, '_compact', early):
            self.assert_found(self.restored_is_compacted, 'lacks')

    def test_pins_that_are_not_looked_at(self):
        find = Compaction._find

        def forgetful(self, needed, accounts, pins):
            find(self, needed, accounts, [])

        with mock.patch.object(Compaction, '_find', forgetful):
            self.assert_found(self.restored_is_deleted, 'lacks')

    def test_base_of_a_running_backup_that_is_not_looked_at(self):
        find = Compaction._find

        def forgetful(self, needed, accounts, pins):
            find(self, needed, accounts, [])

        with mock.patch.object(Compaction, '_find', forgetful):
            self.assert_found(self.backup_runs_again, 'lacks')

    def test_images_that_are_looked_at_by_the_newest_alone(self):
        find = Compaction._find

        def hasty(self, needed, accounts, pins):
            for account in accounts:
                object.__setattr__(account, 'entries', account.entries[-1:])
            find(self, needed, accounts, pins)

        with mock.patch.object(Compaction, '_find', hasty):
            self.assert_found(self.two_compact, 'lacks')

    def test_each_keeps_what_it_has_written(self):
        compact = Compaction._compact

        def remember(self, address, *args):
            before = copies.compacted_keys(self._repo.storage, address)
            found = compact(self, address, *args)
            after = copies.compacted_keys(self._repo.storage, address)
            self._repo.own = sorted(set(after) - set(before))
            return found

        def settle(repo, address):
            others = copies.compacted_keys(repo.storage, address)
            for key in (layout.pack_key(address), *others):
                if key not in getattr(repo, 'own', key):
                    repo.storage.delete(key)
            return 1

        with mock.patch.object(Compaction, '_compact', remember):
            with mock.patch.object(compaction, 'settle', settle):
                self.assert_found(self.two_compact, 'lacks')

    def test_reader_that_looks_once(self):
        with mock.patch.object(copies, '_ATTEMPTS', 1):
            self.assert_found(self.restored_is_compacted_again, 'missing')

    def test_leftovers_that_are_not_settled(self):
        with mock.patch.object(compaction, 'settle', return_value=0):
            self.assert_found(self.restored_is_compacted, 'is left')
