# SPDX-License-Identifier: Apache-2.0
"""What a power loss may leave of objects: what the contract promises."""

import contextlib
import random

from ebackup_service.repository import errors
from ebackup_service.repository.storage import nas
from tests import base
from tests.unit.ebackup_service.repository.storage import careless
from tests.unit.ebackup_service.repository.storage import conformance
from tests.unit.ebackup_service.repository.storage import disk
from tests.unit.ebackup_service.repository.storage import power_loss
from tests.unit.ebackup_service.repository.storage import processes
from tests.unit.ebackup_service.repository.storage import simulated

PATH = '/disk'
AFTER = '/after'


class ConformanceTestCase(conformance.ConformanceTests, base.BaseTestCase):
    """The simulated system is what NasStorage takes it for."""

    def setUp(self):
        self.system = self.useFixture(simulated.SystemFixture()).system
        self.system.disks[PATH] = disk.Disk()
        super().setUp()

    def open_storage(self):
        return nas.NasStorage(PATH)


class LossesTestCase(base.BaseTestCase):
    """The states themselves."""

    def setUp(self):
        super().setUp()
        self.disk = disk.Disk()

    def left(self, **kwargs):
        """What may be left in the end, as sorted items."""
        end = object()
        self.disk.note(end)
        return [
            sorted(loss.remains.items())
            for loss in power_loss.losses(
                self.disk.log, random.Random(0), **kwargs
            )
            if loss.fact is end
        ]

    def make(self, path, data=b'x'):
        number = self.disk.make_file(path)
        self.disk.append(number, data)
        self.disk.sync(number)

    def test_file_that_was_not_synced(self):
        number = self.disk.make_file('a')
        self.disk.append(number, b'x' * 9000)
        self.disk.sync(disk.TOP)

        left = self.left()
        self.assertEqual(5, len(left))
        lengths = [len(data) for ((_, data),) in left]
        self.assertEqual([0, 4096, 9000, 9000, 9000], sorted(lengths))
        self.assertIn([('a', b'x' * 9000)], left)
        self.assertIn([('a', bytes(9000))], left)

    def test_what_was_synced_stays_when_more_is_written(self):
        self.make('a', b'safe')
        self.disk.sync(disk.TOP)
        self.disk.append(self.disk.find('a'), b'more')

        left = self.left()
        self.assertIn([('a', b'safe')], left)
        self.assertIn([('a', b'safemore')], left)
        for ((_, data),) in left:
            self.assertEqual(b'safe', data[:4])

    def test_names_are_independent_until_their_directory_is_synced(self):
        self.make('a')
        self.make('b')
        self.assertEqual(4, len(self.left()))

        self.disk.sync(disk.TOP)
        self.assertEqual([[('a', b'x'), ('b', b'x')]], self.left())

    def test_link_outlives_what_was_done_before_it(self):
        self.make('a')
        self.disk.link('a', 'b')

        self.assertIn([('b', b'x')], self.left())

    def test_rename_is_undone_or_half_done(self):
        self.make('a', b'old')
        self.make('t', b'new')
        self.disk.sync(disk.TOP)
        self.disk.rename('t', 'a')

        self.assertEqual(
            [
                [('a', b'new')],
                [('a', b'new'), ('t', b'new')],
                [('a', b'old')],
                [('a', b'old'), ('t', b'new')],
            ],
            sorted(self.left()),
        )

    def test_directory_takes_away_what_is_below_it(self):
        self.disk.make_directory('a')
        self.disk.make_directory('a/b')
        self.make('a/b/c')
        for path in ('a/b', 'a'):
            self.disk.sync(self.disk.find(path))

        self.assertEqual(
            [[], [('a', None), ('a/b', None), ('a/b/c', b'x')]],
            sorted(self.left()),
        )

    def test_what_was_deleted_may_be_back(self):
        self.disk.make_directory('a')
        self.make('a/b')
        self.disk.settle()
        self.disk.unlink('a/b')
        self.disk.remove_directory('a')

        self.assertEqual(
            [[], [('a', None)], [('a', None), ('a/b', b'x')]],
            sorted(self.left()),
        )
        self.disk.settle()
        self.assertEqual([[]], self.left())

    def test_each_state_is_there_once_for_each_fact(self):
        self.make('a')
        self.make('b')
        self.disk.note('fact')
        found = [
            (loss.fact, frozenset(loss.remains.items()))
            for loss in power_loss.losses(self.disk.log, random.Random(0))
        ]

        self.assertEqual(len(set(found)), len(found))
        self.assertEqual(4, [fact for fact, _ in found].count('fact'))

    def test_too_many_states_are_sampled(self):
        for number in range(20):
            self.make(str(number))

        left = self.left(sample=5)
        # Both ends, all that differ in one or two from either, and some more.
        self.assertLessEqual(2 * (1 + 20 + 190), len(left))
        self.assertGreaterEqual(2 * (1 + 20 + 190) + 5, len(left))
        sizes = {len(tree) for tree in left}
        self.assertLessEqual({0, 1, 2, 18, 19, 20}, sizes)


class Objects:
    """Uses a storage, and notes what may be left of each object.

    Several may share one dictionary of promises: they are processes.
    """

    def __init__(self, storage, place, promises):
        self.storage = storage
        self.disk = place
        self.promises = promises

    def create(self, key, data):
        self.promise(key, *self.allowed(key), data)
        try:
            self.storage.create(key, [data])
        except errors.ObjectExists:
            # Whoever hears of an object relies on it.
            data = self.storage.read(key)
        self.promise(key, data)

    def replace(self, key, data):
        self.promise(key, *self.allowed(key), data)
        self.storage.replace(key, data)
        self.promise(key, data)

    def delete(self, key):
        self.promise(key, *self.allowed(key), None)
        self.storage.delete(key)

    def allowed(self, key):
        return self.promises.get(key, (None,))

    def promise(self, key, *allowed):
        self.promises[key] = allowed
        self.disk.note(dict(self.promises))


class PowerLossTestCase(base.BaseTestCase):
    storage = nas.NasStorage

    def setUp(self):
        super().setUp()
        self.system = self.useFixture(simulated.SystemFixture()).system
        self.begin()

    def begin(self):
        """Begin anew, on an empty disk."""
        self.disk = self.system.disks[PATH] = disk.Disk()
        self.promises = {}

    def process(self):
        return Objects(self.storage(PATH), self.disk, self.promises)

    def succeeds(self, verb, changes):
        """Kill a process, let another do the same, and look what is left.

        :returns: False: it ended before
        """
        self.begin()
        try:
            with processes.killed(self.system, changes):
                getattr(self.process(), verb)('a/b/c/one', b'x' * 5000)
        except LookupError:
            self.look()
            return False
        getattr(self.process(), verb)('a/b/c/one', b'x' * 5000)
        self.look()
        return True

    def look(self, seed=0):
        """Look at everything that may be left; how many states it was."""
        count = 0
        for loss in power_loss.losses(self.disk.log, random.Random(seed)):
            if loss.fact is not None:
                self.assert_kept(loss, seed)
                count += 1
        return count

    def assert_kept(self, loss, seed):
        place = disk.Disk.holding(loss.remains, self.disk.time)
        self.system.disks[AFTER] = place
        with contextlib.closing(nas.NasStorage(AFTER)) as storage:
            found = {info.key for info in storage.list('')}
            for key, allowed in loss.fact.items():
                data = storage.read(key) if key in found else None
                if data not in allowed:
                    self.fail(
                        f'{key} is {data} and not of {allowed} after '
                        f'{loss.calls} calls of {self.disk.log}, seed {seed}'
                    )
            # And it goes on: what is missing can be made.
            storage.remove_stale('', 0.0)
            for key in loss.fact.keys() - found:
                storage.create(key, [b'again'])
            self.assertEqual(
                loss.fact.keys() | found,
                {
                    path
                    for path, data in place.tree().items()
                    if data is not None
                },
            )


class OneProcessTestCase(PowerLossTestCase):
    """Every state; there are few at any instant, since it syncs often."""

    def test_objects_come_and_go(self):
        one = self.process()
        one.create('packs/aa/s/1', b'x' * 10_000)
        one.create('packs/aa/s/2', b'y')
        one.create('packs/aa/t/1', b'z')
        one.create('top', b'x')
        one.replace('owner', b'old')
        one.replace('owner', b'new')
        one.delete('packs/aa/s/1')
        one.delete('packs/aa/s/2')
        one.delete('top')
        one.create('packs/aa/s/1', b'x' * 10_000)

        self.assertLess(50, self.look())

    def test_many_deletions_at_once(self):
        one = self.process()
        for number in range(6):
            one.create(f'a/b/{number}', b'x')
        for number in range(6):
            one.delete(f'a/b/{number}')
        one.create('a/b/0', b'x')

        self.assertLess(50, self.look())


class WithoutLinksTestCase(OneProcessTestCase):
    def setUp(self):
        super().setUp()
        self.system.has_links = False


class WithoutExclusiveRenameTestCase(WithoutLinksTestCase):
    """Here an object may be left empty, until its creation has returned."""

    def setUp(self):
        super().setUp()
        self.system.has_exclusive_rename = False

    def process(self):
        process = super().process()
        promise = process.promise
        process.promise = lambda key, *allowed: promise(
            key, *allowed, *([b''] if len(allowed) > 1 else [])
        )
        return process


class SeveralProcessesTestCase(PowerLossTestCase):
    def test_killed_one_and_its_successor(self):
        for verb in ('create', 'replace'):
            changes = 0
            while self.succeeds(verb, changes):
                changes += 1
            # Three directories, file, bytes, sync, link, unlink, four syncs.
            self.assertLess(9, changes)

    def test_in_one_directory_at_once(self):
        for seed in random.sample(range(2**32), 5):
            self.begin()
            one, two = self.process(), self.process()
            processes.take_turns(
                self.system,
                random.Random(seed),
                lambda one=one: self.work(one, 'a/b/one', 'a/b/both'),
                lambda two=two: self.work(two, 'a/b/two', 'a/b/both'),
            )
            self.look(seed)

    def work(self, process, own, common):
        process.create(own, b'x' * 100)
        process.create(common, b'y')
        process.delete(own)


class SeededBugTestCase(PowerLossTestCase):
    """Storages that promise more than they keep: each one is found out."""

    def test_each_is_found(self):
        for storage in (
            careless.WithoutDirectorySync,
            careless.WithoutSyncAbove,
            careless.WithSyncBeforeLink,
            careless.WithoutFileSync,
            careless.InPlace,
            careless.TrustingWhatExists,
        ):
            self.storage = storage
            self.assertTrue(self.is_found(), storage)
        self.storage = nas.NasStorage
        self.assertFalse(self.is_found())

    def is_found(self):
        """Whether one instant to kill a process at shows it."""
        changes = 0
        try:
            while self.succeeds('create', changes):
                changes += 1
        except AssertionError:
            return True
        return False
