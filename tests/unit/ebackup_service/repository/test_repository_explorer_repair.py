# SPDX-License-Identifier: Apache-2.0
"""Checks that repair beside backups, a deletion and a restore, in every order.

Of checks and collections one at a time runs in a repository. But a check that
lost its lease, and is slow, may write on while the next collection, or check,
begins; and a collection, while a check does. That is all the same as that both
run at once, and the argument of "Packs that are lost" relies on less: so
they do here. (What has lost its lease gets no answer from the catalog; here it
does, which is more than happens.)

A chunk may be read from its place or from none, until it is repaired. See
test_repository_explorer.
"""

import dataclasses
import random
from unittest import mock

import fixtures
from testtools import content

from ebackup_service.repository import compaction
from ebackup_service.repository import copies
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import lost_packs
from ebackup_service.repository import repair
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import explorer
from tests.unit.ebackup_service.repository import proxy
from tests.unit.ebackup_service.repository import repair_promises
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository import stepwise_proxy
from tests.unit.ebackup_service.repository.storage import stepwise
from tests.unit.ebackup_service.repository import test_repository_explorer
from tests.unit.ebackup_service.repository import test_repository_power_loss

ONE, TWO = services.CHAINS
Job = stepwise_proxy.Job
LostPacks = lost_packs.LostPacks


def volume(first, second):
    """One leaf, of two chunks."""
    return b''.join(bytes([value]) * base.CHUNK for value in (first, second))


def damaged(storage, where):
    """A chunk's record."""
    key = layout.pack_key(where.pack)
    _flip(storage, key, where.offset + where.length - 1)


def gone(storage, where):
    """The pack that has a chunk."""
    storage.delete(layout.pack_key(where.pack))


def footerless(storage, where):
    """The pack as well, but what it has can be read in its places."""
    _flip(storage, layout.pack_key(where.pack), -1)


HOWS = (damaged, gone, footerless)


def _flip(storage, key, at):
    data = bytearray(storage.read(key))
    data[at] ^= 1
    storage.delete(key)
    storage.create(key, [data])


class RepairTestCase(test_repository_explorer.ExplorerTestCase):
    """Something is wrong with the pack of the first image.

    :ivar first: of two chunks
    :ivar second: of the same volume, it shares the first of these chunks
    :ivar other: of another volume, it has stored both, too
    """

    at_once = True

    def setUp(self):
        super().setUp()
        self.first = Job('first', 1, volume(1, 2))
        self.second = Job('second', 2, volume(1, 0))
        self.other = Job('other', 3, volume(1, 2))
        self.packs = []
        # Who comes some way anew must do the same.
        self.useFixture(fixtures.MockPatchObject(lost_packs, 'random'))

    def promises(self, world):
        return repair_promises.RepairPromises(world, self.packs)

    def hurt(self, how, world, number=0):
        """Where it begins: with a damaged chunk of the first image, say."""
        record = world.catalog.facts[self.first.image]
        where = self.promises(world).places(world, record)[number]
        self.packs = [where.pack]
        storage = stepwise.ObjectsStorage(world.objects)
        how(storage, where)
        return world._replace(objects=storage.objects)

    def one_image(self, how):
        return self.hurt(how, self.world(self.first.backup(ONE)))

    def two_images(self, how):
        return self.hurt(
            how, self.world(self.first.backup(ONE), self.other.backup(TWO))
        )

    def three_images(self, how):
        return self.hurt(
            how,
            self.world(
                self.first.backup(ONE),
                self.second.backup(ONE),
                self.other.backup(TWO),
            ),
        )

    def half_deleted(self, how):
        """The first image's deletion was stopped over its tombstone."""
        doomed = Job('doomed', 8).begin_to_delete(self.first.image)
        world = self.hurt(
            how,
            self.world(
                self.first.backup(ONE), self.second.backup(ONE), doomed
            ),
        )
        storage = stepwise.ObjectsStorage(world.objects)
        key = layout.tombstone_key(self.first.image)
        images.bury(storage, self.first.image)
        return world._replace(objects=storage.objects.made_fragile(key))

    def repair(self, world, *others, name='check', number=7):
        """A check that comes late with what it has found at the beginning.

        See whole_check for one that finds it meanwhile.
        """
        known = self.promises(world).known(world)
        one = proxy.Proxy(
            world.catalog, storage=stepwise.ObjectsStorage(world.objects)
        )
        found = one.verify(known)
        damaged = [
            location.Locator(told.id, *place, 0, 0)
            for place, told in found.told.items()
        ]
        return Job(name, number).repair(
            damaged, found.lost, [self.first, *others]
        )

    def check(self, world):
        known = self.promises(world).known(world)
        return Job('check', 7).check(known, [self.first])

    def told(self, world):
        """What a backup is told of the first image."""
        return self.promises(world).known(world)[self.first.image]

    def backup_uses_it(self, how):
        """It wasn't told. There is another place of all that is damaged."""
        world = self.two_images(how)
        return self.explore(
            world,
            self.repair(world),
            Job('backup', 4, volume(1, 3)).backup(ONE),
            Job('restore', 5).restore(self.first.image, damaged=True),
        )

    def backup_stores_it(self, how):
        """It was told, and has the only other place of it."""
        world = self.one_image(how)
        return self.explore(
            world,
            self.repair(world),
            Job('backup', 4, volume(1, 2)).backup(ONE, self.told(world)),
            Job('restore', 5).restore(self.first.image, damaged=True),
        )

    def one_uses_it_and_one_stores_it(self, how):
        world = self.one_image(how)
        return self.explore(
            world,
            self.repair(world),
            Job('uses', 4, volume(1, 2)).backup(ONE),
            Job('stores', 5, volume(1, 2)).backup(ONE, self.told(world)),
        )

    def it_is_deleted(self, how):
        """Another image needs some of it."""
        world = self.three_images(how)
        return self.explore(
            world,
            self.repair(world),
            Job('deletion', 4).delete(self.first.image),
            Job('collection', 6).compact(late=True, of=[self.first]),
        )

    def it_is_deleted_while_it_is_restored(self, how):
        world = self.three_images(how)
        return self.explore(
            world,
            self.repair(world),
            Job('deletion', 4).delete(self.first.image),
            Job('restore', 5).restore(self.first.image, damaged=True),
        )

    def base_is_deleted(self, how):
        """A backup uses what is damaged, of which nobody else knows."""
        world = self.two_images(how)
        return self.explore(
            world,
            self.repair(world),
            Job('backup', 4, volume(1, 3)).backup(ONE),
            Job('deletion', 5).delete(self.first.image),
        )

    def base_is_collected(self, how):
        """The same; the deletion was stopped before it began to delete."""
        world = self.two_images(how)
        backup = Job('backup', 4, volume(1, 3))
        return self.explore(
            world,
            self.repair(world, backup),
            # Its death is looked at in base_is_deleted.
            dataclasses.replace(backup.backup(ONE), killed=None),
            Job('deletion', 5).begin_to_delete(self.first.image),
            Job('collection', 6).collect(late=True, of=[self.first, backup]),
        )

    def other_place_is_deleted(self, how):
        world = self.two_images(how)
        return self.explore(
            world,
            self.repair(world),
            Job('deletion', 4).delete(self.other.image),
            Job('collection', 6).compact(
                late=True, of=[self.first, self.other]
            ),
        )

    def two_check(self, how):
        """One of them was given up, and goes on."""
        world = self.three_images(how)
        return self.explore(
            world,
            self.repair(world),
            self.repair(world, name='another', number=8),
            Job('deletion', 4).delete(self.first.image),
        )

    def whole_check(self, how):
        world = self.three_images(how)
        return self.explore(
            world,
            self.check(world),
            Job('deletion', 4).delete(self.first.image),
            Job('collection', 6).compact(late=True, of=[self.first]),
        )

    def whole_check_beside_another(self, how):
        world = self.three_images(how)
        return self.explore(
            world,
            self.check(world),
            self.repair(world, name='another', number=8),
        )

    def half_a_deletion_is_met(self, how):
        world = self.half_deleted(how)
        return self.explore(
            world,
            self.repair(world),
            Job('deletion', 4).delete(self.first.image),
            Job('collection', 6).compact(late=True, of=[self.first]),
        )


class OrdersTestCase(RepairTestCase):
    def assert_explored(self, explore, *hows, least=100):
        for how in hows:
            self.assertLess(least, explore(how))

    def test_backup_that_uses_what_is_damaged(self):
        self.assert_explored(self.backup_uses_it, damaged, gone, footerless)

    def test_backup_that_stores_what_is_damaged(self):
        self.assert_explored(self.backup_stores_it, gone)
        self.assert_explored(self.backup_stores_it, damaged, least=50)

    def test_two_backups(self):
        self.assert_explored(self.one_uses_it_and_one_stores_it, damaged)

    def test_deletion_of_what_is_damaged(self):
        self.assert_explored(self.it_is_deleted, damaged, least=10000)

    def test_deletion_of_what_is_restored(self):
        self.assert_explored(
            self.it_is_deleted_while_it_is_restored, damaged, gone, footerless
        )

    def test_deletion_of_a_base_that_is_damaged(self):
        self.assert_explored(
            self.base_is_deleted, damaged, gone, footerless, least=1000
        )

    def test_deletion_of_the_other_place(self):
        self.assert_explored(self.other_place_is_deleted, damaged, least=10000)

    def test_two_checks(self):
        self.assert_explored(self.two_check, damaged, least=5000)

    def test_check_that_finds_it_meanwhile(self):
        self.assert_explored(self.whole_check, damaged, least=10000)
        self.assert_explored(self.whole_check_beside_another, damaged, gone)

    def test_half_a_deletion(self):
        self.assert_explored(
            self.half_a_deletion_is_met, footerless, least=10000
        )

    def test_one_of_those_that_take_long(self):
        """Or all of them: see test_repository_power_loss."""
        more = [
            (self.one_uses_it_and_one_stores_it, gone),
            (self.other_place_is_deleted, gone),
            *((self.it_is_deleted, how) for how in (gone, footerless)),
            *((self.base_is_collected, how) for how in HOWS),
            *((self.two_check, how) for how in (gone, footerless)),
            *((self.whole_check, how) for how in (gone, footerless)),
        ]
        if test_repository_power_loss.MORE < 10:
            seed = test_repository_power_loss.SEED
            more = [random.Random(f'{seed}').choice(more)]
            names = ', '.join(one.__name__ for one in more[0])
            self.addDetail(
                'drawn', content.text_content(f'EBACKUP_SEED={seed}: {names}')
            )
        for explore, how in more:
            self.assert_explored(explore, how, least=5000)


class SeededBugTestCase(RepairTestCase):
    """What is wrong is found, and how it came to it is told."""

    def assert_found(self, explore, how, problem):
        error = self.assertRaises(explorer.Broken, explore, how)

        self.assertIn('check: storage', str(error))
        self.assertIn(problem, str(error))

    def scenarios(self):
        return (
            self.backup_uses_it,
            self.one_uses_it_and_one_stores_it,
            self.it_is_deleted,
            self.it_is_deleted_while_it_is_restored,
            self.base_is_deleted,
            self.base_is_collected,
            self.other_place_is_deleted,
            self.two_check,
            self.whole_check,
            self.whole_check_beside_another,
        )

    def test_tombstones_that_are_taken_for_durable(self):
        write = LostPacks.write

        def trusting(self, *args):
            self._deleted.clear()
            return write(self, *args)

        with mock.patch.object(LostPacks, 'write', trusting):
            self.assert_found(self.half_a_deletion_is_met, footerless, 'lacks')

    def test_pack_that_goes_before_it_is_repaired(self):
        for what, how in ((repair._Repair, damaged), (LostPacks, footerless)):
            name = '_write' if how == damaged else 'write'
            write = getattr(what, name)

            def early(self, address, *args, write=write):
                self._repo.storage.delete(layout.pack_key(address))
                return write(self, address, *args)

            with mock.patch.object(what, name, early):
                for explore in self.scenarios():
                    self.assert_found(explore, how, 'lacks')

    def test_pack_of_which_nothing_but_the_damage_is_repaired(self):
        write = copies.write

        def little(repo, address, table, data):
            return write(repo, address, table[:1], data[:1])

        with mock.patch.object(copies, 'write', little):
            for explore in (self.two_check, self.whole_check):
                self.assert_found(explore, damaged, 'lacks')

    def test_only_good_copy_that_is_deleted(self):
        def settle(repo, address):
            for key in copies.compacted_keys(repo.storage, address)[:1]:
                repo.storage.delete(key)
            return 1

        with mock.patch.object(compaction, 'settle', settle):
            for explore in (*self.scenarios(), self.backup_stores_it):
                self.assert_found(explore, gone, 'has lost')

    def test_each_keeps_what_it_has_written(self):
        write = copies.write

        def remember(repo, *args):
            repo.own, size = write(repo, *args)
            return repo.own, size

        def settle(repo, address):
            others = copies.compacted_keys(repo.storage, address)
            for key in (layout.pack_key(address), *others):
                if key != getattr(repo, 'own', key):
                    repo.storage.delete(key)
            return 1

        with mock.patch.object(copies, 'write', remember):
            with mock.patch.object(compaction, 'settle', settle):
                self.assert_found(self.two_check, footerless, 'lacks')

    def test_pins_that_are_not_looked_at(self):
        pages = LostPacks._pages

        def forgetful(self, summaries, pins):
            return pages(self, summaries, [])

        with mock.patch.object(LostPacks, '_pages', forgetful):
            self.assert_found(
                self.it_is_deleted_while_it_is_restored, footerless, 'lacks'
            )
