# SPDX-License-Identifier: Apache-2.0
"""What must hold while checks repair a repository that is damaged."""

from ebackup_service.repository import checker
from ebackup_service.repository import collector
from ebackup_service.repository import errors
from ebackup_service.repository import extents
from ebackup_service.repository import layout
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import repository
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import proxy
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository.storage import stepwise
from tests.unit.ebackup_service.repository import test_repository_explorer

State = services.State


class RepairPromises(test_repository_explorer.Promises):
    """Chunks that were damaged at the beginning may be, and no others.

    :ivar hurt: places of chunks that images need, and that are damaged
    """

    def __init__(self, world, packs):
        """Begin.

        :param world: at the beginning
        :param packs: that are damaged there, or lost
        """
        super().__init__()
        self._hurt_packs = {*packs}
        self._places = {}
        self._sound = {}
        self._unsound = {}
        self._judged = set()
        self.hurt = {
            self.places(world, record)[number]
            for record in _trees(world)
            for number in self.unsound(world, record)
        }

    def known(self, world):
        """What a check finds to be damaged, by image."""
        return {
            record.id: _ranges(record, self.unsound(world, record))
            for record in world.catalog.in_state(State.AVAILABLE)
        }

    def look(self, world):
        super().look(world)
        for record in _trees(world):
            for number in self.unsound(world, record):
                where = self.places(world, record)[number]
                assert where in self.hurt, f'{record.id} lacks chunk {number}'
        for record in world.catalog.in_state(State.DELETED):
            assert not _counts(world, record), f'{record.id} is back'

    def look_back(self, before, after):
        """What was sound, be it again, is so for ever."""
        if before.objects == after.objects:
            return
        for record in _trees(after):
            lost = self.unsound(after, record) - self.unsound(before, record)
            assert not lost, f'{record.id} has lost chunks {sorted(lost)}'

    def look_at_the_end(self, world):
        """Two checks repair what can be; the first tells what is gone."""
        storage = stepwise.ObjectsStorage(world.objects)
        repo = repository.Repository.open(storage)
        # What is dead needs nothing, and nothing is taken from it.
        collector.collect(repo, world.catalog.live, base.nothing_to_check)
        world = world._replace(objects=storage.objects)
        if world in self._judged:
            return
        left = self._left(world)
        found = _check(storage, world.catalog, {})
        found = _check(storage, world.catalog, found)
        repaired = world._replace(objects=storage.objects)
        self.look_back(world, repaired)
        for record in world.catalog.needed():
            unsound = self.unsound(repaired, record)
            assert unsound == left[record.id], (
                f'of {record.id} {sorted(unsound)} is damaged, and '
                f'{sorted(left[record.id])} is nowhere'
            )
            told = found.get(record.id, extents.Extents())
            assert told == _ranges(record, unsound), f'{record.id}: {told}'
        super().look_at_the_end(repaired)
        self._judged.add(world)

    def places(self, world, record):
        """Where the chunks of an image are."""
        tree = record.root.tree
        if tree not in self._places:
            repo = _opened(world.objects)
            source = repo.tree(record.root)
            self._places[tree] = {
                index * page.FANOUT + slot: leaf.locator(slot)
                for index in source.leaves()
                if (leaf := source.leaf(index)) is not None
                for slot in leaf.present.nonzero()[0].tolist()
            }
        return self._places[tree]

    def unsound(self, world, record):
        """Numbers of chunks that nobody can read."""
        key = world.objects, record.root.tree
        if key not in self._unsound:
            self._unsound[key] = frozenset(
                number
                for number, where in self.places(world, record).items()
                if not self._is_sound(world, where)
            )
        return self._unsound[key]

    def _is_sound(self, world, where):
        objects = world.objects.below(
            layout.REPOSITORY,
            layout.pack_key(where.pack),
            layout.compacted_prefix(where.pack),
        )
        if (objects, where) not in self._sound:
            try:
                reader.RecordReader(_opened(objects)).read(where)
                sound = True
            except errors.Corrupt:
                sound = False
            self._sound[objects, where] = sound
        return self._sound[objects, where]

    def _left(self, world):
        """What of each image can't be repaired.

        Packs are made whole again or stay.
        """
        there = set()
        lacking = {}
        for record in world.catalog.needed():
            unsound = self.unsound(world, record)
            for number, where in self.places(world, record).items():
                if number in unsound:
                    lacking.setdefault(where.pack, set()).add(where.id)
                else:
                    there.add(where.id)
        return {
            record.id: {
                number
                for number in self.unsound(world, record)
                if lacking[self.places(world, record)[number].pack] - there
            }
            for record in world.catalog.needed()
        }

    def _has(self, world, address, offsets):
        if address not in self._hurt_packs:
            return super()._has(world, address, offsets)
        # What has what is damaged may be gone; but see unsound().
        prefix = layout.compacted_prefix(address)
        return all(
            offsets <= self._offsets(world, address, key)
            for key in world.objects
            if key.startswith(prefix)
        )

    def _packs(self, world, record):
        gone = {
            address
            for address in self._hurt_packs
            if not [*world.objects.below(
                layout.pack_key(address), layout.compacted_prefix(address)
            )]
        }  # fmt: skip
        return super()._packs(world, record) - gone

    def _restore(self, repo, record):
        chunks = reader.ChunkReader(repo)
        source = repo.tree(record.root)
        for index in source.leaves():
            leaf = source.leaf(index)
            for slot in leaf.present.nonzero()[0].tolist():
                begin = index * base.LEAF + slot * base.CHUNK
                wanted = record.data[begin : begin + base.CHUNK]
                data = bytearray(len(wanted))
                try:
                    chunks.read(leaf.locator(slot), memoryview(data))
                except errors.Corrupt:
                    assert leaf.locator(slot) in self.hurt
                    continue
                assert data == wanted, f'{record.id} is another volume'


def _check(storage, catalog, known):
    """Repair all that can be; what is damaged then, by image."""
    one = proxy.Proxy(catalog, storage=storage)
    records = one.check(known)
    found: checker.Damage = {}
    checker.check(one.repo, records, base.nothing_to_check, found.update)
    return found


def _trees(world):
    """Images that are needed, or would be after a power loss."""
    needed = {record.id: record for record in world.catalog.needed()}
    for record in world.catalog.facts.values():
        committed = record.state is State.COMMITTED
        if committed or _comes_back(world, record):
            needed[record.id] = record
    return [*needed.values()]


def _comes_back(world, record):
    tombstone = layout.tombstone_key(record.id)
    return tombstone in world.objects.fragile and _is_marked(world, record)


def _counts(world, record):
    tombstone = layout.tombstone_key(record.id)
    return tombstone not in world.objects and _is_marked(world, record)


def _is_marked(world, record):
    return {
        layout.root_key(record.id),
        layout.commit_key(record.id),
    } <= set(world.objects)


def _ranges(record, numbers):
    """Of some chunks, as a check tells them."""
    return extents.Extents(
        (
            number * base.CHUNK,
            min(base.CHUNK, len(record.data) - number * base.CHUNK),
        )
        for number in numbers
    )


def _opened(objects):
    return repository.Repository.open(stepwise.ObjectsStorage(objects))
