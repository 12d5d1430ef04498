# SPDX-License-Identifier: Apache-2.0
"""What compaction leaves: settled, checked, and read."""

import os
from unittest import mock


from ebackup_service.repository import compacted_pack
from ebackup_service.repository import compaction
from ebackup_service.repository import copies
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import sample
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_compaction
from tests.unit.ebackup_service.repository import unlistable


class SettleTestCase(test_compaction.CompactionTestCase):
    """``key``: what compaction has left of the pack ``pack``."""

    def setUp(self):
        super().setUp()
        self.repo.delete_image(self.first.id)
        with mock.patch.object(compaction, 'settle', return_value=0):
            self.compact()
        self.pack, (self.key,) = sorted(self.compacted().items())[0]
        self.address = layout.parse_pack(self.pack)

    def settle(self):
        return compaction.settle(self.repo, self.address)

    def copy(self, number, data):
        key = layout.compacted_key(
            self.address, number, compacted_pack.digest([data])
        )
        self.storage.create(key, [data])
        return key

    def objects(self):
        return [
            key
            for key in (
                self.pack,
                *reversed(copies.compacted_keys(self.storage, self.address)),
            )
            if key in self.keys()
        ]

    def test_pack_goes(self):
        size = self.storage.size(self.pack)

        self.assertEqual(size, self.settle())
        self.assertEqual([self.key], self.objects())
        self.assertEqual(0, self.settle())

    def test_pack_that_can_not_be_removed_is_left_by_a_collection(self):
        before = self.objects()

        with mock.patch.object(
            self.storage,
            'delete',
            side_effect=errors.ObjectUnreadable('bad'),
        ):
            result = self.collect()

        self.assertEqual(0, result.packs_compacted)
        self.assertIn(self.pack, ' '.join(result.left_out))
        self.assertEqual(before, self.objects())
        self.assertEqual((), self.collect().left_out)
        self.assertEqual([self.key], self.objects())

    def test_pack_that_can_not_be_settled_is_left_by_a_collection(self):
        error = errors.Corrupt('directory', 'compacted', 'bad')
        with mock.patch.object(compaction, 'settle', side_effect=error):
            result = self.collect()

        self.assertEqual((str(error),), result.left_out)

    def test_only_one_stays_whatever_is_listed_twice(self):
        self.settle()
        self.storage = self.repo.storage = unlistable.UnlistableStorage(
            self.storage
        )
        self.storage.late = True
        self.storage.bad[os.path.dirname(self.key)] = 1

        self.assertEqual(0, self.settle())
        self.assertEqual([self.key], self.objects())

    def test_older_ones_go(self):
        newest = self.copy(2, self.storage.read(self.key))

        self.settle()

        self.assertEqual([newest], self.objects())

    def test_it_is_made_durable_first(self):
        calls = []
        with mock.patch.object(
            self.storage,
            'create',
            side_effect=lambda key, parts: calls.append(key),
        ):
            with mock.patch.object(
                self.storage, 'delete', side_effect=calls.append
            ):
                self.settle()

        self.assertEqual([self.key, self.pack], calls)

    def test_nothing_goes_for_one_that_is_damaged(self):
        size = self.storage.size(self.key)
        before = self.objects()
        for offset in (3, 130, 128 + 16 + 70, size - 100, size - 3):
            self.flip(self.key, offset)
            self.assertEqual(0, self.settle())
            self.flip(self.key, offset)
        os.truncate(os.path.join(self.path, self.key), 0)
        self.assertEqual(0, self.settle())

        self.assertEqual(before, self.objects())

    def test_records_are_verified_whatever_the_key_says(self):
        data = bytearray(self.storage.read(self.key))
        data[128 + 16 + 64 + 5] ^= 1
        newer = self.copy(2, bytes(data))
        self.storage.delete(self.pack)

        self.assertEqual(0, self.settle())

        # It may be one that is just being written.
        self.assertEqual([self.key, newer], self.objects())

    def test_damaged_one_goes_with_the_others(self):
        damaged = self.copy(2, b'damaged')
        newest = self.copy(3, self.storage.read(self.key))

        self.settle()

        self.assertNotIn(damaged, self.keys())
        self.assertEqual([newest], self.objects())

    def test_collection_settles(self):
        packs = self.data_packs(self.first)

        result = self.collect()

        self.assertEqual(len(packs), result.packs_compacted)
        self.assertEqual([], self.data_packs(self.first))
        self.assert_restores(self.second)

    def test_pages_have_nothing_to_settle(self):
        address = self.address._replace(kind=location.PAGE)

        self.assertEqual(0, compaction.settle(self.repo, address))


class DamageTestCase(test_compaction.CompactionTestCase):
    """What compaction has left is checked, and named, as packs are."""

    def setUp(self):
        super().setUp()
        self.repo.delete_image(self.first.id)
        self.compact()
        # The first chunk that is still needed, and where it is now.
        self.where = self.repo.tree(self.second.root).leaf(0).locator(0)
        (self.key,) = copies.compacted_keys(self.storage, self.where.pack)
        found = compacted_pack.load(self.repo, self.where.pack, self.key)
        row = found.table['offset'].tolist().index(self.where.offset)
        self.begin = int(found.begins[row])

    def test_damaged_record(self):
        self.flip(self.key, self.begin + 99)

        report = self.check()

        (problem,) = report.problems
        self.assertIn(self.second.id, problem)
        (chunk,) = report.damaged_chunks
        self.assertEqual(self.where.offset, chunk['offset'])
        self.assertEqual(
            [[0, base.CHUNK]], self.images_damage[self.second.id].to_json()
        )

    def test_damaged_place(self):
        self.flip(self.key, self.begin - 10)

        # The footer has it, too.
        self.assert_restores(self.second)

    def test_damaged_footer(self):
        self.flip(self.key, self.storage.size(self.key) - 1)

        report = self.check()

        (problem,) = report.problems
        self.assertIn('compacted/', problem)
        self.assertEqual([], report.damaged_images)
        self.assertEqual(self.second.data, self.restore(self.second.id))

    def test_missing_object(self):
        self.storage.delete(self.key)

        report = self.check()

        self.assertEqual([self.second.id], report.damaged_images)
        self.assertIn(layout.pack_key(self.where.pack), report.problems[0])
        error = self.assertRaises(errors.Corrupt, self.restore, self.second.id)
        self.assertIn('it is missing', str(error))

    def test_collection_does_not_mind(self):
        """As it doesn't read data packs; what is damaged isn't settled."""
        self.flip(self.key, self.begin + 99)
        self.overwrite(self.second, 3, kept=25)

        self.collect()
        result = self.compact()

        self.assertEqual((), result.compaction_problems)
        self.repo.delete_image(self.second.id)
        result = self.compact()
        self.assertIn(self.key, self.keys())
        self.assertEqual(1, len(result.compaction_problems))

    def test_usage(self):
        packs = len(self.keys(layout.PACKS)) + len(self.compacted())

        self.assertEqual(packs, self.repo.usage().packs)

    def test_sample(self):
        whole = sample.Sample().packs(self.storage, base.nothing_to_check)
        found = [address for address, _ in whole]

        self.assertIn(self.where.pack, found)
        self.assertEqual(len(set(found)), len(found))
        place = sample.place(layout.pack_key(self.where.pack))
        arc = sample.Sample(place, place + 1)
        self.assertEqual(
            [self.where.pack],
            [a for a, _ in arc.packs(self.storage, base.nothing_to_check)],
        )
