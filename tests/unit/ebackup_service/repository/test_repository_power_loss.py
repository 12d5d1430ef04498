# SPDX-License-Identifier: Apache-2.0
"""A power loss at any instant of what a service does with its repository.

The code of the repository runs unchanged, on a simulated disk. aftermath says
what must hold in every state that may be left.

Not all states of all runs are looked at each time, for that takes minutes: a
share of the instants is drawn anew. EBACKUP_POWER_LOSS is by how much more to
look at, 10 is what the runs have but for repeated compactions, interleavings,
and states that are too many. EBACKUP_SEED repeats a run.
"""

import functools
import os
import random

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import repository
from ebackup_service.repository.storage import nas
from tests import base as test_base
from tests.unit.ebackup_service.repository import aftermath
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import proxy
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository.storage import disk
from tests.unit.ebackup_service.repository.storage import power_loss
from tests.unit.ebackup_service.repository.storage import processes
from tests.unit.ebackup_service.repository.storage import simulated

ONE, TWO = services.CHAINS
MORE = float(os.environ.get('EBACKUP_POWER_LOSS', '1'))
SEED = int(os.environ.get('EBACKUP_SEED', random.randrange(2**32)))


class PowerLossTestCase(test_base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.system = self.useFixture(simulated.SystemFixture()).system
        self.begin()

    def begin(self, number=0):
        """Begin anew, with an empty repository; a run by its number."""
        self.generator = random.Random(f'{SEED} {number}')
        self.disk = self.system.disks[proxy.PATH] = disk.Disk()
        repository.Repository.create(
            nas.NasStorage(proxy.PATH), pack_size=services.PACK_SIZE
        )
        self.service = services.Service(self.disk, self.generator)
        self.settle()

    def settle(self):
        """Let time pass: what was done so far is durable."""
        self.disk.settle()
        self.since = len(self.disk.log)

    def proxy(self):
        return proxy.Proxy(self.service)

    def damage_footers(self):
        """Of all data packs; their keys."""
        keys = {
            path
            for path, data in self.disk.tree().items()
            if data is not None
            and (address := layout.parse_pack(path))
            and address.kind == location.DATA
        }
        for key in keys:
            data = bytearray(self.disk.tree()[key])
            data[-1] ^= 1
            self.disk.unlink(key)
            self.disk.append(self.disk.make_file(key), bytes(data))
        return keys

    def look(self, **kwargs):
        """Look at what may be left since settle(); how many states it was."""
        count = 0
        for loss in power_loss.losses(
            self.disk.log, self.generator, since=self.since, **kwargs
        ):
            if loss.fact is not None:
                try:
                    aftermath.examine(self.system, loss, self.disk.time)
                except aftermath.Broken as error:
                    self.fail(f'EBACKUP_SEED={SEED}\n{error}')
                count += 1
        return count


class SeriesTestCase(PowerLossTestCase):
    """One job after the other: every state."""

    def setUp(self):
        super().setUp()
        self.one = self.proxy()

    def test_full_backup(self):
        self.one.backup(ONE)

        self.assertLess(30, self.look())

    def test_incremental_backup(self):
        self.one.backup(ONE)
        self.settle()
        self.one.backup(ONE)

        self.assertLess(30, self.look())

    def test_deletion(self):
        first = self.one.backup(ONE)
        self.one.backup(ONE)
        self.settle()
        self.one.delete(first.id)

        self.assertLess(5, self.look())

    def test_collection(self):
        records = [self.one.backup(chain) for chain in (ONE, ONE, TWO)]
        for record in records[1:]:
            self.one.delete(record.id)
        self.settle()
        self.one.collect()

        self.assertLess(30, self.look())

    def test_collection_right_after_deletions(self):
        records = [self.one.backup(chain) for chain in (ONE, ONE, TWO)]
        self.settle()
        self.one.delete(records[1].id)
        self.one.delete(records[2].id)
        self.one.collect()

        self.assertLess(30, self.look(share=0.4 * MORE))

    def test_compaction(self):
        first = self.one.backup(ONE)
        self.one.backup(ONE)
        self.one.delete(first.id)
        self.settle()
        self.one.compact()

        self.assertLess(30, self.look(share=0.5 * MORE))

    def test_compaction_of_what_was_just_compacted(self):
        records = [self.one.backup(ONE) for _ in range(3)]
        self.one.delete(records[0].id)
        self.settle()
        self.one.compact()
        self.one.delete(records[1].id)
        self.one.compact()

        self.assertLess(30, self.look(share=0.1 * MORE, limit=64))

    def test_repair_of_packs_with_damaged_footers(self):
        first = self.one.backup(ONE)
        self.one.backup(ONE)
        self.one.delete(first.id)
        keys = self.damage_footers()
        self.settle()
        self.one.check()

        self.assertLess(30, self.look(share=0.1 * MORE, limit=32))
        left = {
            layout.pack_key(address)
            for path in self.disk.tree()
            if (address := layout.parse_compacted(path))
        }
        self.assertLess(0, len(keys & left))
        self.assertEqual(set(), left & self.disk.tree().keys())

    def test_backup_that_comes_to_nothing(self):
        self.one.backup(ONE)
        self.settle()
        record = self.service.reserve(ONE)
        self.one.store(record)
        self.one.give_up(record)
        self.one.collect()

        self.assertLess(30, self.look())

    def test_all_of_it_within_a_moment(self):
        """Nothing was ever written back but by fsync()."""
        first = self.one.backup(ONE)
        second = self.one.backup(ONE)
        self.one.delete(first.id)
        self.one.collect()
        record = self.service.reserve(ONE)
        self.one.store(record)
        self.one.give_up(record)
        third = self.one.backup(ONE)
        self.one.delete(second.id)
        self.one.collect()
        self.one.restore(third.id)
        self.one.backup(TWO)

        self.assertLess(
            100, self.look(share=0.2 * MORE, limit=64, changes=1, sample=8)
        )


class WithoutLinksTestCase(PowerLossTestCase):
    """The same where names are taken by renames."""

    def test_compaction(self):
        self.system.has_links = False
        one = self.proxy()
        first = one.backup(ONE)
        one.backup(ONE)
        one.delete(first.id)
        self.settle()
        one.compact()

        self.assertLess(30, self.look(limit=128))

    def test_backup_and_deletion(self):
        self.system.has_links = False
        one = self.proxy()
        first = one.backup(ONE)
        one.backup(ONE)
        one.delete(first.id)

        self.assertLess(30, self.look(share=0.5 * MORE, limit=128))


class NewRepositoryTestCase(test_base.BaseTestCase):
    """Made by a job that is repeated until it has succeeded."""

    ID = base.new_id()

    def setUp(self):
        super().setUp()
        self.system = self.useFixture(simulated.SystemFixture()).system

    def make(self, place):
        self.system.disks[proxy.PATH] = place
        storage = nas.NasStorage(proxy.PATH)
        try:
            repo = repository.Repository.create(storage, self.ID)
        except errors.ObjectExists:
            repo = repository.Repository.open(storage, self.ID)
        repo.claim('service', 1)
        place.note('made')

    def test_power_loss_at_any_instant(self):
        changes = 0
        while self.is_killed(changes):
            changes += 1

        self.assertLess(10, changes)

    def is_killed(self, changes):
        """Whether a job has so many changes to make, and is repeated well."""
        place = disk.Disk()
        try:
            with processes.killed(self.system, changes):
                self.make(place)
        except LookupError:
            return False
        self.make(place)
        for loss in power_loss.losses(place.log, random.Random(0)):
            left = disk.Disk.holding(loss.remains, place.time)
            if loss.fact is None:
                self.make(left)
            self.system.disks[proxy.PATH] = left
            repo = repository.Repository.open(nas.NasStorage(proxy.PATH))
            repo.check_owner('service', 1)
        return True


class KilledTestCase(PowerLossTestCase):
    """A process is killed at any instant, another one takes over.

    What the first one has done lies in the page cache: the second one sees
    it, and a power loss may take it away.
    """

    def each_kill(self, prepare, job):
        """Kill a job before each of its changes."""
        for changes in range(1000):
            self.begin(changes)
            prepared = prepare()
            self.settle()
            one = self.proxy()
            try:
                with processes.killed(self.system, changes):
                    job(one, prepared)
            except LookupError:
                return
            self.since = len(self.disk.log)
            yield self.proxy(), prepared
        self.fail('it never ends')

    def two_images(self):
        one = self.proxy()
        return [one.backup(ONE), one.backup(ONE)]

    def backup_to_be_made(self):
        self.proxy().backup(ONE)
        return self.service.reserve(ONE)

    def backup_of_no_use(self):
        one = self.proxy()
        one.backup(ONE)
        record = self.service.reserve(ONE)
        one.store(record)
        return record

    def garbage(self):
        one = self.proxy()
        records = [one.backup(chain) for chain in (ONE, ONE, TWO)]
        for record in records[1:]:
            one.delete(record.id)

    def sparse_packs(self):
        one = self.proxy()
        first = one.backup(ONE)
        one.backup(ONE)
        one.delete(first.id)
        one.collect()

    def test_deletion_is_repeated(self):
        count = 0
        for two, (first, _) in self.each_kill(
            self.two_images, lambda one, images: one.delete(images[0].id)
        ):
            two.delete(first.id)
            count += self.look()
        self.assertLess(100, count)

    def test_collection_meets_half_a_deletion(self):
        count = 0
        for two, _ in self.each_kill(
            self.two_images, lambda one, images: one.delete(images[1].id)
        ):
            two.collect()
            count += self.look(share=0.3 * MORE)
        self.assertLess(100, count)

    def test_repair_of_lost_packs_meets_half_a_deletion(self):
        """What is left out is needed, should the tombstone be gone."""
        for two, (first, _) in self.each_kill(
            self.two_images_with_damaged_footers,
            lambda one, images: one.delete(images[0].id),
        ):
            # Not synced, and nothing was removed by then.
            if layout.tombstone_key(first.id) in self.disk.tree():
                two.check()
                self.assertLess(10, self.look(share=0.05 * MORE, limit=16))
                return
        self.fail('there is no tombstone')

    def two_images_with_damaged_footers(self):
        images = self.two_images()
        self.damage_footers()
        return images

    def test_backup_goes_on_in_another_run(self):
        count = 0
        for two, record in self.each_kill(
            self.backup_to_be_made, lambda one, record: one.run(record)
        ):
            two.run(record, 1)
            count += self.look(share=0.25 * MORE)
        self.assertLess(100, count)

    def test_collection_is_repeated(self):
        count = 0
        for two, _ in self.each_kill(
            self.garbage, lambda one, _: one.collect()
        ):
            two.collect()
            count += self.look(share=0.3 * MORE)
        self.assertLess(100, count)

    def test_compaction_is_repeated(self):
        count = 0
        for two, _ in self.each_kill(
            self.sparse_packs, lambda one, _: one.compact()
        ):
            two.compact()
            count += self.look(share=0.02 * MORE, limit=32)
        self.assertLess(100, count)

    def test_collection_meets_half_a_compaction(self):
        count = 0
        for two, _ in self.each_kill(
            self.sparse_packs, lambda one, _: one.compact()
        ):
            two.collect()
            count += self.look(share=0.3 * MORE)
        self.assertLess(100, count)

    def test_collection_meets_half_a_cleaning(self):
        count = 0
        for two, _ in self.each_kill(
            self.backup_of_no_use, lambda one, record: one.give_up(record)
        ):
            two.collect()
            count += self.look(share=0.2 * MORE)
        self.assertLess(100, count)


class AtOnceTestCase(PowerLossTestCase):
    """Two backups, a deletion, a collection and a restore take turns."""

    def test_jobs_at_once(self):
        for number in range(int(10 * MORE)):
            self.begin(number)
            first, second, _ = self.prepare()
            self.settle()
            one, two, three, four, five = (self.proxy() for _ in range(5))
            processes.take_turns(
                self.system,
                self.generator,
                functools.partial(one.backup, ONE),
                functools.partial(two.backup, ONE),
                functools.partial(three.delete, first.id),
                functools.partial(four.restore, second.id),
                self.generator.choice([five.collect, five.compact]),
            )
            self.look(share=0.1, limit=16, changes=0, sample=4)

    def prepare(self):
        one = self.proxy()
        records = [one.backup(chain) for chain in (ONE, ONE, TWO)]
        one.delete(records[2].id)
        return records
