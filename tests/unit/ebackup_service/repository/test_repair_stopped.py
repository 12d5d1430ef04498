# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import pack_table
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_compaction_stopped
from tests.unit.ebackup_service.repository import test_repair


class StoppedTestCase(test_repair.RepairTestCase):
    def setUp(self):
        super().setUp()
        self.key = self.flip_chunk(7)

    def read_pack(self, number):
        return self.storage.read(layout.pack_key(self.locator(number).pack))

    def other_pack(self):
        """A number that is in another pack, which is damaged there."""
        number = next(
            number
            for number in range(test_repair.CHUNKS)
            if layout.pack_key(self.locator(number).pack) != self.key
        )
        return self.flip_chunk(number)

    def test_power_loss_that_brings_the_damaged_pack_back(self):
        damaged = self.read_pack(7)
        self.repair()
        self.storage.create(self.key, [damaged])
        # What it was repaired with is there no longer.
        self.repo.delete_image(self.third.id)
        found = self.found()
        self.assertEqual(1, len(found))

        self.assertEqual(1, self.repair(found=found).records)

        self.assertEqual(0, len(found))
        self.assertNotIn(self.key, self.keys())
        self.assert_whole(self.first, self.second)

    def test_damaged_pack_and_a_later_object_that_is_damaged(self):
        damaged = self.read_pack(7)
        self.repair()
        [later] = self.keys(layout.COMPACTED)
        self.flip(later, 128 + 16 + 99)
        self.storage.create(self.key, [damaged])

        self.assertEqual(1, self.repair().records)

        self.assertEqual(set(), {self.key, later} & self.keys())
        self.assert_whole()

    def test_storage_that_never_deletes_does_not_fill(self):
        denied = errors.StorageDenied('denied')
        with mock.patch.object(self.storage, 'delete', side_effect=denied):
            [problem] = self.repair().problems
            before = self.keys()
            self.assertEqual(1, len(self.keys(layout.COMPACTED)))

            self.repair()

        self.assertIn('denied', problem)
        self.assertEqual(before, self.keys())
        self.repair()
        self.assert_whole()

    def test_after_a_failure_of_the_storage_the_others_are_left(self):
        self.other_pack()
        full = errors.StorageFull('full')
        with mock.patch.object(
            self.storage, 'create', side_effect=full
        ) as create:
            repaired = self.assert_left()

        self.assertEqual(1, len(repaired.problems))
        self.assertEqual(1, create.call_count)

    def test_after_a_failure_of_an_object_the_others_are_repaired(self):
        first = min(self.key, self.other_pack())
        create = self.storage.create

        def unreadable(key, parts):
            if layout.parse_compacted(key) == layout.parse_pack(first):
                raise errors.ObjectUnreadable(first)
            create(key, parts)

        with mock.patch.object(self.storage, 'create', unreadable):
            repaired = self.repair()

        self.assertEqual((1, 1), (repaired.records, len(repaired.problems)))
        self.assertIn(first, repaired.problems[0])

    def test_told_to_stop_at_any_time(self):
        records = len(pack_table.load(self.repo, self.locator(7).pack))
        calls = base.stop_at_each_check(
            self.repair, lambda: self.assertIn(self.key, self.keys())
        )
        # Each record is read after one of them.
        self.assertLess(records, calls)
        self.assert_whole()

    def test_storage_that_fails_at_any_write(self):
        for late in (False, True):
            for writes in range(100):
                repo = test_compaction_stopped.copied(self)
                with test_compaction_stopped.failing(
                    repo.storage, writes, late
                ):
                    problems = self.repair(repo=repo).problems
                self.assertEqual(
                    self.third.data, self.restore(self.third.id, repo)
                )
                if not problems:
                    break
                self.assertIn('away', problems[0])
                self.assertIn(self.key, problems[0])
                # If it was done all the same, nothing is damaged any more.
                self.repair(repo=repo)
                for image in self.images:
                    self.assertEqual(image.data, self.restore(image.id, repo))
            self.assertEqual(3, writes)

    def test_storage_that_writes_something_else(self):
        create = self.storage.create
        found = self.found()

        def damaging(key, parts):
            data = bytearray(b''.join(parts))
            data[999] ^= 1
            create(key, [data])

        with mock.patch.object(self.storage, 'create', damaging):
            repaired = self.repair(found=found)

        self.assertEqual((0, []), (repaired.records, repaired.problems))
        self.assertEqual(1, len(found))
        self.assertIn(self.key, self.keys())
        self.assertEqual(1, self.repair().records)
        self.assert_whole()

    def test_no_room(self):
        with mock.patch.object(
            self.storage, 'create', side_effect=errors.StorageFull('full')
        ):
            repaired = self.assert_left()

        [problem] = repaired.problems
        self.assertIn('full', problem)

    def test_repository_of_another_service(self):
        owner = mock.Mock(side_effect=errors.ForeignOwner('another'))

        self.assertRaises(
            errors.ForeignOwner, self.repair, base.nothing_to_check, owner
        )

        self.assertIn(self.key, self.keys())
        self.assertEqual(1, len(self.found().told))

    def test_repository_that_takes_more_to_write_or_to_check(self):
        for purpose in 'write', 'check':
            with mock.patch.object(
                type(self.repo.config),
                f'require_{purpose}',
                side_effect=errors.UnsupportedFormat(f'newer {purpose}'),
            ):
                repaired = self.assert_left()

            self.assertEqual([f'newer {purpose}'], repaired.problems)
