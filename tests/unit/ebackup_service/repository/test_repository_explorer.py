# SPDX-License-Identifier: Apache-2.0
"""Two writers, a restore and a collection, in every order there is.

They are the code that a proxy runs, call by call; see explorer. After each
step everything is there that an image or a job needs, nobody fails, and at
the end the next collection leaves nothing else.
"""

import dataclasses
import datetime
import functools
from unittest import mock

import fixtures

from ebackup_service.repository import account
from ebackup_service.repository import collector
from ebackup_service.repository import compacted_pack
from ebackup_service.repository import config
from ebackup_service.repository import fields
from ebackup_service.repository import layout
from ebackup_service.repository import liveness
from ebackup_service.repository import markers
from ebackup_service.repository import repository
from ebackup_service.repository import root as image_root
from tests import base as test_base
from tests.unit.ebackup_service.repository import aftermath
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import explorer
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository import stepwise_proxy
from tests.unit.ebackup_service.repository import stepwise_runs
from tests.unit.ebackup_service.repository import stepwise_service
from tests.unit.ebackup_service.repository.storage import stepwise

ONE, _ = services.CHAINS
Job = stepwise_proxy.Job
State = services.State


def volume(first, second):
    """Two leaves, of which a chunk each is used."""
    return b''.join(
        [bytes([first]) * base.CHUNK,
         bytes(base.LEAF - base.CHUNK),
         bytes([second]) * base.CHUNK]
    )  # fmt: skip


# So that the next one has something to go on from.
_BEFORE = Job('before', 9).collect()


class Promises:
    """What must hold in a world."""

    def __init__(self):
        self._reached = {}
        self._tables = {}
        self._right = set()

    def look(self, world):
        """Everything is there that an image or a job needs."""
        for record in world.catalog.needed():
            for address, offsets in self._needs(world, record).items():
                assert self._has(world, address, offsets), (
                    f'{record.id} lacks {layout.pack_key(address)}'
                )
            if record.state is State.AVAILABLE:
                missing = _documents(record) - set(world.objects)
                assert not missing, f'{record.id} lacks {sorted(missing)}'
                assert layout.tombstone_key(record.id) not in world.objects

    def look_at_the_end(self, world):
        """The next collection leaves this and nothing else."""
        storage = stepwise.ObjectsStorage(world.objects)
        repo = repository.Repository.open(storage)
        collector.collect(repo, world.catalog.live, base.nothing_to_check)
        after = world._replace(objects=storage.objects)
        if after in self._right:
            return
        result = collector.collect(
            repo, world.catalog.live, base.nothing_to_check, whole=True
        )
        assert after.objects == storage.objects, f'{result}, and accounts'
        self.look(after)
        needed = [layout.REPOSITORY]
        packs = set()
        for record in world.catalog.needed():
            needed += _documents(record)
            packs |= self._packs(after, record)
            assert record.state is State.AVAILABLE
            self._restore(repo, record)
        needed += map(layout.pack_key, packs)
        left = [
            aftermath.uncompacted(key)
            for key in after.objects
            if not key.startswith((layout.TOMBSTONES, layout.ACCOUNTS))
        ]
        assert sorted(left) == sorted(needed), (
            f'{sorted(left)} is left, {sorted(needed)} is needed'
        )
        self._right.add(after)

    def look_back(self, before, after):
        """Nothing more is promised of a step."""

    def _packs(self, world, record):
        """What must be there at the end, and nothing else."""
        return set(self._needs(world, record))

    def _restore(self, repo, record):
        data = base.restored(repo, repo.tree(record.root))
        assert data == record.data, f'{record.id} is another volume'

    def _needs(self, world, record):
        """Offsets of the records that a tree reaches, by pack."""
        known = self._reached.get(record.root.tree)
        if known is None:
            repo = repository.Repository.open(
                stepwise.ObjectsStorage(world.objects)
            )
            known = aftermath.records(repo, repo.tree(record.root))
            self._reached[record.root.tree] = known
        return known

    def _has(self, world, address, offsets):
        """Whether some object has records of a pack, and all that may be read.

        All that compaction has left must have all that is needed.
        """
        prefix = layout.compacted_prefix(address)
        keys = [key for key in world.objects if key.startswith(prefix)]
        return (keys or layout.pack_key(address) in world.objects) and all(
            offsets <= self._offsets(world, address, key) for key in keys
        )

    def _offsets(self, world, address, key):
        """Of the records that an object has."""
        if key not in self._tables:
            repo = repository.Repository.open(
                stepwise.ObjectsStorage(world.objects)
            )
            found = compacted_pack.load(repo, address, key)
            self._tables[key] = set(found.table['offset'].tolist())
        return self._tables[key]


def _documents(record):
    if record.state is not State.AVAILABLE:
        return set()
    return {layout.root_key(record.id), layout.commit_key(record.id)}


class ExplorerTestCase(test_base.BaseTestCase):
    at_once = False

    def setUp(self):
        super().setUp()
        clock = mock.Mock(UTC=datetime.UTC)
        clock.datetime.now.return_value = datetime.datetime.now(datetime.UTC)
        self.useFixture(fixtures.MockPatchObject(fields, 'datetime', clock))
        # Processes that come some way anew read the same documents again.
        for document in (
            account.Account,
            config.RepositoryConfig,
            image_root.Root,
            markers.Commit,
        ):
            once = functools.cache(document.from_bytes)
            self.useFixture(
                fixtures.MockPatchObject(document, 'from_bytes', once)
            )

    def world(self, *actors):
        """What some have left that worked one after the other."""
        storage = stepwise.ObjectsStorage(stepwise.Objects({}))
        repository.Repository.create(
            storage, base.new_id(), pack_size=services.PACK_SIZE
        )
        world = explorer.World(storage.objects, stepwise_service.Catalog([]))
        for actor in actors:
            world = explorer.Explorer([actor], world, _nothing).undisturbed()
        return world

    def promises(self, world):
        """What must hold, if this is where it begins."""
        return Promises()

    def explore(self, world, *actors):
        """How many states there are; all of them are right."""
        promises = self.promises(world)
        explored = explorer.Explorer(
            actors, world, promises.look, promises.look_back, self.at_once
        )
        explored.explore()
        for end, state in explored.ends.items():
            try:
                promises.look_at_the_end(end)
            except AssertionError as error:
                raise explored.blame(state, error) from error
        return explored.states

    def base_is_deleted(self):
        """While there is garbage, and a backup has just begun or has not."""
        first = Job('first', 1, volume(1, 2))
        return self.explore(
            self.world(first.backup(ONE), _BEFORE),
            Job('one', 2, volume(1, 0)).backup(ONE),
            Job('deletion', 3).delete(first.image),
            Job('collection', 4).collect(),
        )

    def restored_is_deleted(self):
        first = Job('first', 1, volume(1, 2))
        return self.explore(
            self.world(first.backup(ONE), _BEFORE),
            Job('deletion', 2).delete(first.image),
            Job('restore', 3).restore(first.image),
            Job('collection', 4).collect(),
        )

    def run_again(self, checkpoint=False):
        """A backup is taken back from a run; its base was deleted."""
        before = Job('before', 1, volume(1, 2))
        runs = stepwise_runs.Runs(2, before.image, volume(3, 2), checkpoint)
        world = runs.reserved(self.world(before.backup(ONE), _BEFORE), ONE)
        deletion = Job('deletion', 3).delete(before.image)
        return self.explore(
            explorer.Explorer([deletion], world, _nothing).undisturbed(),
            runs.first(),
            runs.second(),
            Job('collection', 4).collect(),
        )


class OrdersTestCase(ExplorerTestCase):
    def test_two_backups_a_restore_and_a_collection(self):
        """One writes data and pages, the other one pages only."""
        first = Job('first', 1, volume(1, 2))
        gone = Job('gone', 2, volume(1, 0))
        world = self.world(
            first.backup(ONE),
            gone.backup(ONE),
            _BEFORE,
            gone.delete(gone.image),
        )

        states = self.explore(
            world,
            Job('one', 3, volume(1, 3)).backup(ONE),
            Job('two', 4, volume(1, 0)).backup(ONE),
            Job('restore', 5).restore(first.image),
            Job('collection', 6).collect(),
        )

        self.assertLess(10000, states)

    def test_base_that_is_deleted(self):
        self.assertLess(10000, self.base_is_deleted())

    def test_image_that_is_deleted_while_it_is_restored(self):
        self.assertLess(1000, self.restored_is_deleted())

    def test_backup_that_is_taken_back_and_run_again(self):
        for checkpoint in (False, True):
            self.assertLess(1000, self.run_again(checkpoint))


class SeededBugTestCase(ExplorerTestCase):
    """What is wrong is found, and how it came to it is told."""

    def assert_found(self, explore, problem):
        assert_found(self, explore, problem)

    def with_steps(self, change):
        """A collection with other steps."""
        steps = collector.Collection.steps
        return mock.patch.object(
            collector.Collection,
            'steps',
            lambda self: change([*steps(self)]),
        )

    def test_collection_that_looks_once(self):
        def once(steps):
            return [s for s in steps if s.__name__ != '_look_again']

        with self.with_steps(once):
            self.assert_found(self.base_is_deleted, 'ForeignOwner')

    def test_collection_that_lists_packs_after_it_has_asked(self):
        def late(steps):
            accounts, candidates, look, ask, *others = steps
            return [accounts, look, ask, candidates, *others]

        with self.with_steps(late):
            self.assert_found(self.base_is_deleted, 'one')

    def test_collection_that_does_not_spare_what_runs(self):
        live = stepwise_service.Catalog.live

        def forgetful(self, image_ids):
            return dataclasses.replace(live(self, image_ids), sessions=set())

        with mock.patch.object(stepwise_service.Catalog, 'live', forgetful):
            self.assert_found(self.base_is_deleted, 'of one')

    def test_base_that_is_not_pinned(self):
        live = stepwise_service.Catalog.live

        def forgetful(self, image_ids):
            return dataclasses.replace(live(self, image_ids), pins=[])

        with mock.patch.object(stepwise_service.Catalog, 'live', forgetful):
            self.assert_found(self.base_is_deleted, 'lacks')

    def test_restored_image_that_is_not_pinned(self):
        live = stepwise_service.Catalog.live

        def forgetful(self, image_ids):
            return dataclasses.replace(live(self, image_ids), pins=[])

        with mock.patch.object(stepwise_service.Catalog, 'live', forgetful):
            self.assert_found(self.restored_is_deleted, 'lacks')

    def test_run_without_a_checkpoint_that_gets_another_base(self):
        """It may adopt a root that refers to the one before."""

        def anew(self, record):
            if record.checkpoint is not None:
                return record.base
            newest = services.newest(self.facts, record.chain)
            return None if newest is None else newest.id

        with mock.patch.object(stepwise_service.Catalog, 'base', anew):
            self.assert_found(self.run_again, 'lacks')

    def test_commit_that_the_catalog_forgets(self):
        live = stepwise_service.Catalog.live

        def forgetful(self, image_ids):
            said = live(self, image_ids)
            failed = {r.id for r in self.in_state(State.ERROR)}
            return dataclasses.replace(said, uncommitted=said.dead & failed)

        with mock.patch.object(stepwise_service.Catalog, 'live', forgetful):
            self.assert_found(self.base_is_deleted, 'CatalogOutdated')

    def test_collection_that_leaves_dead_images(self):
        with mock.patch.object(liveness, 'remove', return_value=0):
            self.assert_found(self.base_is_deleted, 'is left')


def assert_found(case, explore, problem):
    error = case.assertRaises(explorer.Broken, explore)

    case.assertIn(': catalog live', str(error))
    case.assertIn(problem, str(error))


def _nothing(world):
    """What there is on the way doesn't matter."""
