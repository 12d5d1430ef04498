# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import random
import sys
from unittest import mock

import numpy as np
from testtools import content

from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import liveness
from ebackup_service.repository import lost_packs
from ebackup_service.repository import needed_places
from ebackup_service.repository import pack
from ebackup_service.repository import pack_set
from ebackup_service.repository import sample
from ebackup_service.repository import verifier
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_repair
from tests.unit.ebackup_service.repository import unlistable

CHUNKS = test_repair.CHUNKS
NOBODY = liveness.Live(set(), [], set())


class LostPacksTestCase(test_repair.RepairTestCase):
    """``asked``: the ids with which the catalog was asked."""

    def setUp(self):
        super().setUp()
        self.asked = []
        self.answer = NOBODY
        self.suspects = pack_set.PackSet()

    def ask(self, image_ids):
        self.asked.append(image_ids)
        return self.answer

    def found(self, repo=None):
        repo = repo or self.repo
        records = damage.DamagedRecords()
        reader = verifier.PackVerifier(repo, records)
        chosen = sample.Sample(also=self.suspects)
        left = left_out.LeftOut(repo.storage)
        for address, _ in chosen.packs(left, base.nothing_to_check):
            reader.verify(address, lambda length: None)
        return records

    def lose(self, number, image=None):
        """The key of the pack that has a chunk, and is gone."""
        where = self.locator(number, image)
        key = layout.pack_key(where.pack)
        self.suspects.add(where.pack)
        self.storage.delete(key)
        return key

    def numbers(self, key, image=None):
        """The chunks of an image that are in a pack."""
        return [
            number
            for number in range(CHUNKS)
            if layout.pack_key(self.locator(number, image).pack) == key
        ]

    def put(self, key, data):
        with open(os.path.join(self.path, key), 'wb') as file:
            file.write(data)


class GoneTestCase(LostPacksTestCase):
    def test_all_that_is_needed_is_elsewhere(self):
        key = self.lose(7)
        lost = len(self.numbers(key))
        found = self.found()
        self.assertNotEqual([], self.check().problems)

        repaired = self.repair(found=found)

        self.assertEqual(
            (lost, 1, []),
            (repaired.records, repaired.packs, repaired.problems),
        )
        self.assertEqual({}, found.lost)
        self.assertNotIn(key, self.keys())
        self.assert_whole()
        [asked] = self.asked
        self.assertEqual(sorted(i.id for i in self.images), asked)

    def test_it_stays_when_the_other_ones_are_deleted(self):
        self.lose(7)
        self.repair()

        self.repo.delete_image(self.third.id)
        self.compact()

        self.assert_whole(self.first, self.second)

    def test_sound_repository_asks_nobody(self):
        self.assert_left()
        self.assertEqual([], self.asked)

    def test_nothing_more_is_done_when_it_is_repaired(self):
        self.lose(7)
        self.repair()

        self.assert_left()
        self.assertEqual(1, len(self.asked))

    def test_all_packs_of_two_images(self):
        keys = {self.lose(number) for number in range(CHUNKS) if number}
        keys.add(self.lose(0))

        repaired = self.repair()

        self.assertEqual(len(keys), repaired.packs)
        self.assert_whole()

    def test_chunk_that_is_stored_nowhere_else(self):
        self.lose(0, self.second)

        self.assert_left()

        # The others are repaired all the same.
        self.lose(7)
        self.assertEqual(1, self.repair().packs)

    def test_other_ones_that_are_gone_as_well(self):
        self.lose(7)
        self.lose(7, self.third)
        self.assert_left()

        fourth = self.backup(self.first.data, generation=4)

        self.assertEqual(2, self.repair().packs)
        self.assert_whole(*self.images, fourth)

    def test_many_others_that_are_gone_as_well(self):
        others = [
            self.backup(self.first.data, generation=generation)
            for generation in range(4, 8)
        ]
        for image in (self.first, self.third, *others[:-1]):
            self.lose(7, image)

        self.assertEqual(5, self.repair().packs)
        self.assert_whole(*self.images, *others)

    def test_other_one_that_is_damaged(self):
        self.lose(7)
        found = self.found()
        self.flip_chunk(7, self.third)

        self.assertEqual(0, self.repair(found=found).packs)
        self.assertEqual(1, len(found.lost))

    def test_records_of_other_lengths(self):
        chain = base.image_root.Chain('project', 'other')
        data = b''.join(
            bytes([number]) * 1024 + os.urandom(base.CHUNK - 1024)
            for number in range(CHUNKS)
        )
        image = self.backup(data, chain=chain)
        session = self.repo.session
        for generation, compression in enumerate(('none', 'lz4'), 2):
            with mock.patch.object(
                self.repo,
                'session',
                lambda *args, compression=compression, **kwargs: session(
                    *args, compression, **kwargs
                ),
            ):
                other = self.backup(data, chain=chain, generation=generation)
            for number in range(CHUNKS):
                self.assertNotEqual(
                    self.locator(number, image).length,
                    self.locator(number, other).length,
                )
            self.lose(7, image)

            self.assertEqual(1, self.repair().packs)

            self.assertEqual(data, self.restore(image.id))
            # The pack is compacted now, and lost once more.
            self.lose_compacted(self.locator(7, image).pack)

    def lose_compacted(self, address):
        for key in self.keys(layout.COMPACTED):
            if layout.parse_compacted(key) == address:
                self.storage.delete(key)

    def test_no_room_for_places(self):
        chain = base.image_root.Chain('project', 'other')
        data = os.urandom(CHUNKS * base.CHUNK)
        sizes = dict.fromkeys(test_repair.writer._LARGEST, base.PACK_SIZE)
        with mock.patch.dict(test_repair.writer._LARGEST, sizes):
            for generation in 1, 2:
                image = self.backup(data, chain=chain, generation=generation)
        self.lose(7, image)

        self.assert_left()

    def test_no_room_in_memory_for_all_packs_at_once(self):
        keys = {self.lose(number) for number in range(CHUNKS) if number}
        keys.add(self.lose(0))
        most = max(len(self.numbers(key)) for key in keys)
        for module, name in (
            (lost_packs, '_WANTED'),
            (needed_places, '_RECORDS'),
        ):
            with mock.patch.object(module, name, most):
                self.assertEqual(1, self.repair().packs)
        with mock.patch.object(lost_packs, '_WANTED', most - 1):
            for _ in keys:
                self.repair()
        self.assertNotEqual([], self.check().problems)
        self.repair()
        self.assert_whole()

    def test_each_gets_its_turn(self):
        """Those that can't be repaired must not keep others for ever."""
        keys = {self.lose(number) for number in range(1, CHUNKS)}
        packs = sorted(map(layout.parse_pack, keys))
        most = max(len(self.numbers(key)) for key in keys)
        for choose, chosen in ((list.sort, 0), (list.reverse, -1)):
            with (
                mock.patch.object(needed_places, '_RECORDS', most),
                mock.patch.object(lost_packs.random, 'shuffle', choose),
            ):
                self.repair()

            left = {*map(layout.parse_compacted, self.keys())}
            self.assertIn(packs[chosen], left)


class NeededTestCase(LostPacksTestCase):
    """A chunk of a lost pack that is nowhere else, and who needs it."""

    def setUp(self):
        super().setUp()
        data = bytearray(self.third.data)
        data[9 * base.CHUNK] ^= 1
        self.repo.delete_image(self.third.id)
        self.fourth = self.backup(bytes(data), generation=4)
        data[0] ^= 1
        self.images = [
            self.fourth,
            self.backup(bytes(data), base=self.second, generation=5),
        ]
        self.key = layout.pack_key(self.locator(9).pack)

    def remove(self, image):
        """As if it never was: no tombstone, no root, no marker."""
        self.repo.delete_image(image.id)
        self.storage.delete(layout.tombstone_key(image.id))

    def remove_both(self):
        for image in (self.first, self.second):
            self.remove(image)
        self.lose(9)

    def pin(self, image):
        return image.root.tree, image.root.size, image.root.chunk_size

    def test_nobody(self):
        """What nobody needs, nobody can find any more."""
        self.remove_both()

        self.assertEqual(1, self.repair().packs)

        self.assert_whole(*self.images)
        self.assertNotIn(9, self.numbers(self.key, self.images[1]))

    def test_image_that_counts(self):
        self.lose(9)

        self.assert_left()

    def test_deleted_image(self):
        for image in (self.first, self.second):
            self.repo.delete_image(image.id)
        self.lose(9)

        self.assertEqual(1, self.repair().packs)
        [asked] = self.asked
        self.assertEqual(sorted(i.id for i in self.images), asked)

    def test_image_of_which_the_deletion_was_stopped(self):
        """Its tombstone may not be durable before it is written again."""
        self.remove(self.second)
        keys = layout.root_key(self.first.id), layout.commit_key(self.first.id)
        root, commit = map(self.storage.read, keys)
        self.repo.delete_image(self.first.id)
        for key, data in zip(keys, (root, commit), strict=True):
            self.storage.create(key, [data])
        packs = {layout.pack_key(self.locator(n).pack) for n in range(CHUNKS)}
        for key in packs:
            self.flip(key, self.storage.size(key) - 1)
        create = self.storage.create
        written = []

        def note(key, parts):
            written.append(key)
            create(key, parts)

        with mock.patch.object(self.storage, 'create', note):
            self.assertEqual(len(packs), self.repair().packs)

        self.assertLess(1, len(packs))
        tombstone = layout.tombstone_key(self.first.id)
        self.assertEqual(tombstone, written[0])
        self.assertEqual(1, written.count(tombstone))
        self.assert_whole(*self.images)

    def test_image_that_the_catalog_calls_dead(self):
        """Another service may find that it counts."""
        self.remove(self.second)
        self.lose(9)
        self.answer = liveness.Live({self.first.id}, [], set())

        self.assert_left()

    def test_root_without_a_marker(self):
        """It may get one late."""
        self.remove(self.second)
        self.storage.delete(layout.commit_key(self.first.id))
        self.lose(9)

        self.assert_left()

    def test_tree_that_is_pinned(self):
        """Of a base, of a restore, or of an image that wasn't listed."""
        self.remove_both()
        self.answer = liveness.Live(set(), [self.pin(self.second)], set())
        self.assert_left()
        self.answer = liveness.Live(set(), [self.pin(self.first)], set())
        self.assert_left()

    def test_image_that_comes_before_the_catalog_answers(self):
        self.comes_before_the_answer(self.backup)

    def test_root_that_comes_before_the_catalog_answers(self):
        """Its commit may have been taken, and its marker come late."""
        self.comes_before_the_answer(self.store)

    def comes_before_the_answer(self, store):
        for image in (self.first, self.second):
            self.repo.delete_image(image.id)
        self.lose(9)

        def commit(image_ids):
            data = bytearray(self.first.data)
            data[0] ^= 3
            late = store(bytes(data), base=self.first, generation=6)
            self.assertNotIn(late.id, image_ids)
            return NOBODY

        before = self.keys()
        self.assertEqual(0, self.repair(ask=commit).packs)
        self.assertEqual(set(), self.keys(layout.COMPACTED))
        self.assertLess(before, self.keys())

    def test_image_that_is_deleted_before_the_catalog_answers(self):
        """Whoever began meanwhile may have it as a base."""
        self.remove(self.second)
        self.lose(9)

        def delete(image_ids):
            self.repo.delete_image(self.first.id)
            return NOBODY

        self.assertEqual(0, self.repair(ask=delete).packs)
        self.assertEqual(set(), self.keys(layout.COMPACTED))

    def test_session_that_runs(self):
        """It may commit what nobody can see yet."""
        self.remove_both()
        sessions = {self.first.session.id}
        self.answer = liveness.Live(set(), [], sessions)

        self.assert_left()

    def test_page_that_is_damaged(self):
        """What is needed isn't known then, whoever has the page."""
        self.remove_both()
        [key] = [
            key
            for key in self.keys(layout.session_prefix(self.fourth.session.id))
            if layout.parse_pack(key).kind == base.tree.location.PAGE
        ]
        self.flip(key, 300)

        [problem] = self.assert_left().problems

        self.assertIn(key, problem)

    def test_root_that_is_damaged(self):
        self.remove_both()
        key = layout.root_key(self.fourth.id)
        self.flip(key, self.storage.size(key) - 9)

        [problem] = self.assert_left().problems

        self.assertIn(key, problem)
        self.assertEqual([], self.asked)

    def test_image_that_can_not_be_listed(self):
        self.remove(self.second)
        self.lose(9)
        storage = unlistable.UnlistableStorage(self.storage)
        self.storage = self.repo.storage = storage
        for path in (
            'images',
            f'images/{self.first.id}',
            layout.root_key(self.first.id),
            layout.tombstone_key(self.first.id),
        ):
            storage.bad[path] = sys.maxsize
            repaired = self.repair()
            storage.bad.clear()

            self.assertEqual(0, repaired.packs)
            self.assertEqual(set(), self.keys(layout.COMPACTED))


class UnreadableTestCase(LostPacksTestCase):
    """What can't be read, listed or removed may be back tomorrow."""

    def setUp(self):
        super().setUp()
        self.storage = self.repo.storage = unlistable.UnlistableStorage(
            self.storage
        )
        self.key = layout.pack_key(self.locator(7).pack)

    def test_pack_is_written_once_while_it_can_not_be_removed(self):
        self.flip(self.key, 20)
        self.storage.bad[self.key] = sys.maxsize
        for _ in range(3):
            [problem] = self.repair().problems
            self.assertIn(self.key, problem)
            self.assertEqual(1, len(self.keys(layout.COMPACTED)))
            self.assertTrue(os.path.exists(f'{self.path}/{self.key}'))

        self.storage.bad.clear()

        self.assertEqual(1, self.repair().packs)
        self.assertNotIn(self.key, self.keys())
        self.assert_whole()

    def test_pack_that_comes_back(self):
        data = self.storage.read(self.key)
        self.lose(7)
        self.assertEqual(1, self.repair().packs)
        self.put(self.key, data)
        self.assert_whole()

        self.collect()

        self.assertNotIn(self.key, self.keys())
        self.assert_whole()


class DamagedTestCase(LostPacksTestCase):
    """Packs that are there, but not whole."""

    def setUp(self):
        super().setUp()
        self.key = layout.pack_key(self.locator(7).pack)

    def assert_repaired(self, records):
        repaired = self.repair()

        self.assertEqual((records, []), (repaired.records, repaired.problems))
        self.assertNotIn(self.key, self.keys())
        self.assert_whole()

    def test_header(self):
        self.flip(self.key, 20)

        self.assert_repaired(0)

    def test_footer(self):
        self.flip(self.key, self.storage.size(self.key) - 1)

        self.assert_repaired(0)

    def test_footer_of_a_pack_that_is_nowhere_else(self):
        where = self.locator(0, self.second)
        self.key = layout.pack_key(where.pack)
        self.flip(self.key, self.storage.size(self.key) - 1)

        self.assert_repaired(0)

    def test_footer_and_a_chunk(self):
        self.flip_chunk(7)
        self.flip(self.key, self.storage.size(self.key) - 1)

        self.assert_repaired(1)

    def test_pack_that_is_cut_off(self):
        data = self.storage.read(self.key)
        last = max(self.numbers(self.key))
        where = self.locator(last)
        self.put(self.key, data[: where.offset + 9])
        # The check before has told of it.
        self.suspects.add(where.pack)

        self.assert_repaired(1)

    def test_pack_without_bytes(self):
        records = len(self.numbers(self.key))
        self.put(self.key, b'')

        self.assert_repaired(records)

    def test_more_chunks_than_are_told(self):
        numbers = self.numbers(self.key)
        for number in numbers:
            self.flip_chunk(number)
        with mock.patch.object(damage, 'TOLD', 3):
            self.assert_repaired(len(numbers))
        self.assertEqual(1, len(self.asked))

    def test_more_packs_than_are_told(self):
        for number in range(1, CHUNKS):
            self.flip_chunk(number)
        with mock.patch.object(damage, 'TOLD', 3):
            self.repair()
            self.assertEqual(0, len(self.found()))
        self.assert_whole()

    def test_what_compaction_has_left(self):
        self.repo.delete_image(self.first.id)
        self.suspects.add(self.locator(7).pack)
        self.storage.delete(self.key)
        self.repair()
        [old] = self.keys(layout.COMPACTED)
        self.flip(old, self.storage.size(old) - 1)

        self.assertEqual(1, self.repair().packs)

        self.assertNotIn(old, self.keys())
        self.assert_whole(self.second, self.third)


class ImpossibleTestCase(LostPacksTestCase):
    def test_places_that_no_pack_can_have(self):
        """Pages that somebody has forged may say anything."""
        most = base.PACK_SIZE
        for offsets, possible in (
            ((128, 328), True),
            ((127, 328), False),
            ((128, 327), False),
            ((128, most - 200), True),
            ((128, most - 199), False),
        ):
            table = np.zeros(2, pack.TABLE)
            table['offset'] = offsets
            table['length'] = 200
            packs = lost_packs.LostPacks(self.repo, base.nothing_to_check)
            self.assertEqual(possible, packs._fits(table))


class AnyDamageTestCase(LostPacksTestCase):
    def setUp(self):
        super().setUp()
        seed = random.randrange(1 << 32)
        self.addDetail('seed', content.text_content(str(seed)))
        self.draw = random.Random(seed)

    def test_whatever_is_damaged(self):
        """What can be read can be read afterwards, and nothing else is."""
        for _ in range(3):
            self.begin()
            self.damage()
            before = self.readable()

            self.repair()

            after = self.readable()
            self.assertLessEqual(before, after)
            if self.draw.random() < 0.5:
                self.collect()
                self.compact()
                self.assertEqual(after, self.readable())
            self.repair()
            self.assertLessEqual(after, self.readable())

    def begin(self):
        """Images of a chain, which share what they like, and are deleted."""
        chain = base.image_root.Chain('project', base.new_id())
        data = bytearray(os.urandom(CHUNKS * base.CHUNK))
        older = None
        self.images = []
        for generation in range(1, 7):
            for number in self.draw.sample(range(CHUNKS), 5):
                data[number * base.CHUNK] ^= self.draw.randrange(256)
            older = self.backup(
                bytes(data),
                base=self.draw.choice([older, older, None]),
                generation=generation,
                chain=chain,
            )
            self.images.append(older)
        for image in self.draw.sample(self.images[:-1], 2):
            self.repo.delete_image(image.id)
            self.images.remove(image)

    def damage(self):
        packs = [
            key
            for key in self.keys(layout.PACKS)
            if layout.parse_pack(key).kind == base.tree.location.DATA
        ]
        for key in self.draw.sample(packs, 8):
            size = self.storage.size(key)
            self.suspects.add(layout.parse_pack(key))
            how = self.draw.randrange(4)
            if how == 0:
                self.storage.delete(key)
            elif how == 1:
                self.put(
                    key, self.storage.read(key)[: -self.draw.randrange(size)]
                )
            elif how == 2:
                self.flip(key, size - 1 - self.draw.randrange(600))
            else:
                for _ in range(3):
                    self.flip(key, self.draw.randrange(size))

    def readable(self):
        """(image, chunk) of all that can be read."""
        reader = base.reader.RecordReader(self.repo)
        found = set()
        for image in self.images:
            leaf = self.repo.tree(image.root).leaf(0)
            for number in range(CHUNKS):
                with contextlib.suppress(errors.Corrupt):
                    data = bytes(reader.read(leaf.locator(number)))
                    begin = number * base.CHUNK
                    self.assertEqual(
                        image.data[begin : begin + base.CHUNK], data
                    )
                    found.add((image.id, number))
        return found
