# SPDX-License-Identifier: Apache-2.0
import itertools
import os
import random
from unittest import mock

import fixtures
from testtools import content

from ebackup_service.repository import damage
from ebackup_service.repository import elsewhere
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import pack_table
from ebackup_service.repository import refit
from ebackup_service.repository import repair
from ebackup_service.repository import sample
from ebackup_service.repository import verifier
from ebackup_service.repository import writer
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_compaction

CHUNKS = 100


class RepairTestCase(base.RepositoryTestCase):
    """Two images of a chain; a third one has all of the first once more."""

    def setUp(self):
        super().setUp()
        # As in life, packs are half as large as they may be.
        sizes = dict.fromkeys(writer._LARGEST, base.PACK_SIZE // 2)
        self.useFixture(
            fixtures.MonkeyPatch(f'{writer.__name__}._LARGEST', sizes)
        )
        self.repo.claim('service', 1)
        self.first = self.backup(os.urandom(CHUNKS * base.CHUNK))
        data = bytearray(self.first.data)
        data[0] ^= 1
        self.second = self.backup(bytes(data), base=self.first, generation=2)
        self.third = self.backup(self.first.data, generation=3)
        self.images = [self.first, self.second, self.third]

    def locator(self, number, image=None):
        tree = self.repo.tree((image or self.first).root)
        return tree.leaf(number // 256).locator(number % 256)

    def flip_chunk(self, number, image=None):
        """The key of the pack that has it, and as often as that it is."""
        where = self.locator(number, image)
        key = layout.pack_key(where.pack)
        self.flip(key, where.offset + where.length - 9)
        return key

    def found(self, repo=None):
        """What is damaged of all packs."""
        repo = repo or self.repo
        records = damage.DamagedRecords()
        reader = verifier.PackVerifier(repo, records)
        everything = sample.Sample()
        for pack, _ in everything.packs(repo.storage, base.nothing_to_check):
            reader.verify(pack, lambda length: None)
        return records

    def repair(
        self,
        check=base.nothing_to_check,
        owner=None,
        repo=None,
        found=None,
        pace=lambda length: None,
        ask=None,
    ):
        repo = repo or self.repo
        return repair.repair(
            repo,
            self.found(repo) if found is None else found,
            check,
            pace,
            owner or base.nothing_to_check,
            ask or self.ask,
        )

    def ask(self, image_ids):
        self.fail('the catalog is asked')

    def assert_whole(self, *images):
        for image in images or self.images:
            self.assertEqual(image.data, self.restore(image.id))
        self.assertEqual([], self.check().problems)

    def assert_left(self):
        """Nothing is done."""
        before = self.keys()
        found = self.found()
        told = dict(found.told)

        repaired = self.repair(found=found)

        self.assertEqual(0, repaired.records)
        self.assertEqual(told, found.told)
        self.assertEqual(before, self.keys())
        return repaired


class ElsewhereTestCase(RepairTestCase):
    def test_nothing_is_damaged(self):
        self.assert_left()

    def test_chunk_that_is_stored_elsewhere(self):
        key = self.flip_chunk(7)
        found = self.found()

        repaired = self.repair(found=found)

        self.assertEqual((1, []), (repaired.records, repaired.problems))
        self.assertEqual({}, found.told)
        self.assertEqual(0, len(found))
        self.assertNotIn(key, self.keys())
        self.assert_whole()

    def test_it_stays_when_the_other_one_is_deleted(self):
        self.flip_chunk(7)
        self.repair()

        self.repo.delete_image(self.third.id)
        self.compact()

        self.assertEqual(
            set(), self.keys(layout.session_prefix(self.third.session.id))
        )
        self.assert_whole(self.first, self.second)

    def test_all_that_a_pack_has_stays(self):
        """What nobody needs, too: there may be a backup that is about to."""
        where = self.locator(8)
        self.flip_chunk(7)
        self.repo.delete_image(self.first.id)

        self.repair()

        table = verifier.PackVerifier(self.repo, damage.DamagedRecords())
        self.assertIn(where[:4], [w[:4] for w in table._table(where.pack)])
        self.assert_whole(self.second, self.third)

    def test_chunk_that_is_stored_nowhere_else(self):
        self.flip_chunk(0, self.second)

        self.assert_left()

    def test_what_is_read_is_paced_and_nothing_is_read_in_vain(self):
        where = self.locator(7)
        self.flip_chunk(7)
        self.flip_chunk(0, self.second)  # It is stored nowhere else.
        records = [
            one.length
            for one in pack_table.locators(
                where.pack, pack_table.load(self.repo, where.pack)
            )
        ]
        lengths = []

        self.repair(pace=lengths.append)

        self.assertEqual(sorted([*records, where.length]), sorted(lengths))

    def test_pack_of_which_more_is_damaged_than_is_elsewhere(self):
        data = bytearray(self.third.data)
        data[9 * base.CHUNK] ^= 1
        self.repo.delete_image(self.third.id)
        self.backup(bytes(data), generation=4)
        for number in 8, 9:
            key = self.flip_chunk(number)
        self.assertEqual(key, self.flip_chunk(9))  # it was the same pack
        self.flip_chunk(9)

        self.assert_left()

    def test_other_one_that_is_damaged_as_well(self):
        self.flip_chunk(7)
        self.flip_chunk(7, self.third)
        self.assert_left()

        fourth = self.backup(self.first.data, generation=4)

        self.assertEqual(2, self.repair().records)
        self.assert_whole(*self.images, fourth)

    def test_third_one_if_the_other_one_is_damaged_as_well(self):
        fourth = self.backup(self.first.data, generation=4)
        self.flip_chunk(7)
        found = self.found()
        self.flip_chunk(7, self.third)

        self.assertEqual(1, self.repair(found=found).records)
        self.assertEqual(1, self.repair().records)
        self.assert_whole(*self.images, fourth)

    def test_many_others_that_are_known_to_be_damaged(self):
        others = [
            self.backup(self.first.data, generation=generation)
            for generation in range(4, 7)
        ]
        for image in (self.first, self.third, *others[:-1]):
            self.flip_chunk(7, image)

        self.assertEqual(4, self.repair().records)
        self.assert_whole(*self.images, *others)

    def test_many_images_that_have_the_other_one(self):
        data = bytearray(self.third.data)
        images = [self.third]
        for generation in range(4, 7):
            data[0] ^= generation
            images.append(
                self.backup(
                    bytes(data), base=images[-1], generation=generation
                )
            )
        sound = self.backup(self.first.data, generation=7)
        self.flip_chunk(7)
        found = self.found()
        self.flip_chunk(7, self.third)

        self.assertEqual(1, self.repair(found=found).records)
        self.assertEqual(1, self.repair().records)
        self.assert_whole(self.first, *images, sound)

    def test_other_one_that_nobody_has_read_and_is_damaged(self):
        self.flip_chunk(7)
        found = self.found()
        self.flip_chunk(7, self.third)

        self.assertEqual(0, self.repair(found=found).records)
        self.assertEqual(1, len(found))

    def test_packs_that_have_what_the_other_one_lacks(self):
        keys = {self.flip_chunk(7), self.flip_chunk(8, self.third)}

        self.assertEqual(2, self.repair().records)

        self.assertEqual(set(), keys & self.keys())
        self.assert_whole()

    def test_other_one_of_another_length(self):
        data = b'ab' * (base.CHUNK // 2)
        for number, (one, other) in enumerate(
            itertools.permutations(('zstd', 'lz4', 'none'), 2)
        ):
            chain = base.image_root.Chain('project', str(number))
            image = self.backup_as(one, data, chain)
            again = self.backup_as(other, data, chain, generation=2)
            place, other_place = (
                self.repo.tree(made.root).leaf(0).locator(0)
                for made in (image, again)
            )
            self.assertNotEqual(place.length, other_place.length)
            self.flip_chunk(0, image)

            self.assertEqual(1, self.repair().records)

            self.assert_whole(image, again)

    def backup_as(self, compression, data, chain, **kwargs):
        session = self.repo.session
        with mock.patch.object(
            self.repo,
            'session',
            lambda *args, **kwargs: session(*args, compression, **kwargs),
        ):
            return self.backup(data, chain=chain, **kwargs)

    def test_other_one_of_which_no_way_is_known(self):
        self.flip_chunk(7)
        with mock.patch.object(refit, 'fit', return_value=None):
            self.assert_other_length_left()

    def test_other_one_that_does_not_fit_after_all(self):
        """What was made is verified as if it had been read."""
        self.flip_chunk(7)
        where = self.locator(7)
        wrong = 0, os.urandom(where.length - 64)
        with mock.patch.object(refit, 'fit', return_value=wrong):
            self.assert_other_length_left()

    def assert_other_length_left(self):
        """All places look as if they had another length."""
        add = elsewhere.Places._add

        def longer(places, leaf):
            add(places, leaf)
            for found in places.found.values():
                found[:] = [w._replace(length=w.length + 1) for w in found]

        read = elsewhere.Records._read

        def as_it_is(records, where):
            if where.length > self.locator(7).length:
                where = where._replace(length=where.length - 1)
            return read(records, where)

        with (
            mock.patch.object(elsewhere.Places, '_add', longer),
            mock.patch.object(elsewhere.Records, '_read', as_it_is),
        ):
            self.assert_left()

    def test_pack_that_has_no_room_for_places(self):
        chain = base.image_root.Chain('project', 'other')
        data = os.urandom(CHUNKS * base.CHUNK)
        sizes = dict.fromkeys(writer._LARGEST, base.PACK_SIZE)
        with mock.patch.dict(writer._LARGEST, sizes):
            for generation in 1, 2:
                image = self.backup(data, chain=chain, generation=generation)
        self.flip_chunk(7, image)
        self.assertEqual(1, len(self.found()))

        self.assert_left()

    def test_record_that_can_not_be_read(self):
        where = self.locator(7)
        read_into = self.storage.read_into

        def bad_sector(key, offset, buffer):
            if (
                key == layout.pack_key(where.pack)
                and offset < where.offset + where.length
                and offset + len(buffer) > where.offset
            ):
                self.storage.size(key)  # while it is there
                raise errors.ObjectUnreadable(key)
            read_into(key, offset, buffer)

        with mock.patch.object(self.storage, 'read_into', bad_sector):
            self.assertEqual(1, self.repair().records)

            self.assert_whole()

    def test_any_damage(self):
        seed = random.randrange(1 << 32)
        self.addDetail('seed', content.text_content(str(seed)))
        draw = random.Random(seed)
        for _ in range(10):
            lost = [
                set(draw.sample(range(1, CHUNKS), draw.randrange(20)))
                for _ in range(2)
            ]
            for image, numbers in zip(
                (self.first, self.third), lost, strict=True
            ):
                for number in numbers:
                    self.damage_chunk(number, image)

            self.repair()

            both = lost[0] & lost[1]
            left = {
                number
                for image in (self.first, self.third)
                for number in range(CHUNKS)
                if not self.is_whole(number, image)
            }
            if both:
                self.assertLessEqual(both, left)
                self.assertLessEqual(left, lost[0] | lost[1])
                break
            self.assert_whole()

    def damage_chunk(self, number, image):
        """Of whatever object has it."""
        where = self.locator(number, image)
        data = self.read_record(where)
        [key] = [
            key
            for key in self.keys()
            if where.pack
            in (layout.parse_pack(key), layout.parse_compacted(key))
        ]
        with open(os.path.join(self.path, key), 'rb') as file:
            place = file.read().find(data)
        self.flip(key, place + 99)

    def is_whole(self, number, image):
        where = self.locator(number, image)
        reader = base.reader.RecordReader(self.repo)
        try:
            reader.read(where)
        except errors.Corrupt:
            return False
        return True

    def read_record(self, where):
        reader = base.reader.RecordReader(self.repo)
        return bytes(reader.fetch(where.pack, where.offset, where.length))


class CompactedTestCase(test_compaction.CompactionTestCase):
    def test_what_compaction_has_left(self):
        again = self.backup(self.second.data, generation=3)
        where = self.repo.tree(self.second.root).leaf(0).locator(0)
        self.repo.delete_image(self.first.id)
        self.compact()
        [key] = self.compacted()[layout.pack_key(where.pack)]
        self.flip(key, 128 + 16 + 99)
        self.assertNotEqual([], self.check().problems)
        found = damage.DamagedRecords()
        verifier.PackVerifier(self.repo, found).verify(
            where.pack, lambda length: None
        )

        repaired = repair.repair(
            self.repo,
            found,
            base.nothing_to_check,
            lambda length: None,
            base.nothing_to_check,
            lambda image_ids: self.fail('the catalog is asked'),
        )

        self.assertEqual(1, repaired.records)
        self.assertNotIn(key, self.keys())
        self.assert_restores(self.second, again)
