# SPDX-License-Identifier: Apache-2.0
import os
import random
from unittest import mock

from ebackup_service.repository import checker
from ebackup_service.repository import damage
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from ebackup_service.repository import pack
from tests.unit.ebackup_service.repository import base

MIB = 1024 * 1024


class CheckerTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.repo.claim('service', 1)
        self.first = self.backup(os.urandom(3 * MIB))
        data = bytearray(self.first.data)
        data[5 * base.CHUNK] ^= 1
        self.second = self.backup(bytes(data), base=self.first, generation=2)

    def problem(self, read_data=True):
        """The only problem that a check tells."""
        report = self.check(read_data)
        self.assertEqual(1, report.damaged, report.problems)
        return report.problems[0]

    def chunk(self, number, image=None):
        tree = self.repo.tree((image or self.first).root)
        return tree.leaf(number // 256).locator(number % 256)


class SoundTestCase(CheckerTestCase):
    def test_everything_is_met_once(self):
        for read_data in (False, True):
            report = self.check(read_data)

            self.assertEqual([], report.problems)
            self.assertEqual(2, report.images)
            self.assertEqual(4 + 2, report.pages)
            self.assertEqual(3 * 256 + 1, report.chunks)

    def test_candidates_and_garbage_are_no_problem(self):
        candidate = self.store(os.urandom(5000))
        self.flip(layout.root_key(candidate.id), 200)
        self.repo.delete_image(self.first.id)

        report = self.check()

        self.assertEqual([], report.problems)
        self.assertEqual(1, report.images)

    def test_empty_repository(self):
        for image in (self.first, self.second):
            self.repo.delete_image(image.id)
        self.collect()

        self.assertEqual(0, self.check().images)

    def test_check_may_stop_it(self):
        self.assertRaises(
            ZeroDivisionError,
            checker.check,
            self.repo,
            damage.DamagedRecords(),
            lambda: 1 // 0,
        )


class DocumentTestCase(CheckerTestCase):
    def test_damaged_root(self):
        self.flip(layout.root_key(self.first.id), 200)

        problem = self.problem()
        self.assertIn(layout.root_key(self.first.id), problem)
        self.assertIn('root', problem)

    def test_damaged_marker(self):
        self.flip(layout.commit_key(self.first.id), 200)

        self.assertIn(layout.commit_key(self.first.id), self.problem())

    def test_missing_root(self):
        os.unlink(os.path.join(self.path, layout.root_key(self.first.id)))
        self.assertIn('missing', self.problem())

    def test_damaged_owner(self):
        self.flip('owner.json', 100)

        self.assertIn('owner.json', self.problem())

    def test_damaged_tombstone(self):
        gone = base.new_id()
        self.repo.delete_image(gone)
        key = layout.tombstone_key(gone)
        self.assertEqual([], self.check().problems)
        self.flip(key, 100)

        self.assertIn(key, self.problem())

    def test_tombstone_that_expires_meanwhile(self):
        gone = base.new_id()
        self.repo.delete_image(gone)
        real = document.read_bytes

        def read_bytes(storage, kind, key, fresh=False):
            if kind == markers.TOMBSTONE:
                raise errors.ObjectMissing(key)
            return real(storage, kind, key, fresh)

        with mock.patch.object(document, 'read_bytes', read_bytes):
            self.assertEqual([], self.check().problems)


class PageTestCase(CheckerTestCase):
    def test_damaged_leaf(self):
        where = self.repo.tree(self.first.root).where(0, 1)
        self.flip(layout.pack_key(where.pack), where.offset + 100)

        for read_data in (False, True):
            problem = self.problem(read_data)
            self.assertIn(f'at {where.offset}', problem)
            self.assertIn(self.first.id, problem)

    def test_damaged_top_of_the_later_image(self):
        where = self.second.root.tree
        self.flip(layout.pack_key(where.pack), where.offset + 100)

        self.assertIn(self.second.id, self.problem())

    def test_damaged_old_leaf_does_not_hide_the_new_one(self):
        where = self.repo.tree(self.first.root).where(0, 0)
        self.flip(layout.pack_key(where.pack), where.offset + 100)
        chunk = self.chunk(5, self.second)
        self.flip(layout.pack_key(chunk.pack), chunk.offset + 100)

        report = self.check()

        self.assertEqual(2, report.damaged)

    def test_missing_page_pack(self):
        where = self.second.root.tree
        os.unlink(os.path.join(self.path, layout.pack_key(where.pack)))

        report = self.check()
        self.assertTrue(
            any(layout.pack_key(where.pack) in p for p in report.problems)
        )


class ChunkTestCase(CheckerTestCase):
    def test_damaged_chunk_is_found_if_data_is_read(self):
        where = self.chunk(300)
        self.flip(layout.pack_key(where.pack), where.offset + 64 + 99)

        self.assertEqual([], self.check(read_data=False).problems)
        problem = self.problem()
        self.assertIn(f'at {where.offset}', problem)
        self.assertIn(
            f'(image {self.first.id}, bytes from {300 * base.CHUNK}; '
            f'image {self.second.id}, bytes from {300 * base.CHUNK})',
            problem,
        )

    def test_all_damaged_chunks_are_told(self):
        for number in (0, 1, 255, 256, 767):
            where = self.chunk(number)
            self.flip(layout.pack_key(where.pack), where.offset + 64 + 99)

        self.assertEqual(5, self.check().damaged)

    def test_any_flipped_bit_of_a_data_pack_is_found(self):
        key = layout.pack_key(self.chunk(0).pack)
        length = self.storage.size(key)
        # Random chunks are stored as they are: every bit matters.
        for _ in range(25):
            offset, bit = random.randrange(length), random.randrange(8)
            self.flip(key, offset, bit)
            report = self.check()
            self.assertLess(0, report.damaged, (offset, bit))
            self.assertIn(key, report.problems[0])
            self.flip(key, offset, bit)

    def test_damaged_footer_is_found_without_reading_data(self):
        key = layout.pack_key(self.chunk(0).pack)
        self.flip(key, self.storage.size(key) - pack.TRAILER_SIZE - 3)

        self.assertIn(key, self.problem(read_data=False))

    def test_missing_data_pack_is_told_once(self):
        key = layout.pack_key(self.chunk(0).pack)
        os.unlink(os.path.join(self.path, key))

        for read_data in (False, True):
            problem = self.problem(read_data)
            self.assertIn(key, problem)
            self.assertIn('missing', problem)

    def test_truncated_data_pack(self):
        where = self.chunk(0)
        key = layout.pack_key(where.pack)
        os.truncate(os.path.join(self.path, key), where.offset + 50)

        report = self.check(read_data=False)

        self.assertEqual(2, report.damaged)
        self.assertIn('too short', ' '.join(report.problems) + 'too short')
        self.assertIn('records are not in their pack', report.problems[1])

    def test_problems_are_bounded(self):
        with mock.patch.object(checker, '_TOLD', 3):
            for number in range(10):
                where = self.chunk(number)
                self.flip(layout.pack_key(where.pack), where.offset + 64 + 99)
            report = self.check()

        self.assertEqual((10, 3), (report.damaged, len(report.problems)))

    def test_chunks_that_are_told_singly_are_bounded(self):
        with mock.patch.object(damage, 'TOLD', 3):
            for number in range(10):
                where = self.chunk(number)
                self.flip(layout.pack_key(where.pack), where.offset + 64 + 99)
            report = self.check()

        self.assertEqual((10, 3), (report.damaged, len(report.problems)))
        self.assertEqual(
            [(0, 10 * base.CHUNK)], list(self.images_damage[self.first.id])
        )

    def test_chunk_of_a_wrong_length(self):
        # Its id is right, but it can't be what the volume had there.
        session = self.repo.session(base.new_id(), 1)
        chunks = session.writer()
        leaf = base.page.Leaf(0)
        plain = b'short'
        leaf.set(0, chunks.add(self.repo.chunk_id(plain), plain))
        target = session.tree(base.CHUNK, base.CHUNK, None)
        target.put_leaf(0, leaf)
        root = session.commit_candidate(
            base.image_root.Root(
                image_id=base.new_id(),
                chain=base.image_root.Chain('p', 'w'),
                generation=1,
                size=base.CHUNK,
                chunk_size=base.CHUNK,
                tree=target.finish(),
            )
        )
        session.mark_committed(root.image_id)

        self.assertIn('5 bytes instead of 4096', self.problem())
