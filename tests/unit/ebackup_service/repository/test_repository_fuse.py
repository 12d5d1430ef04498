# SPDX-License-Identifier: Apache-2.0
"""A repository on a file system that fails at any call."""

import contextlib
import errno
import os
import random

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import repository
from ebackup_service.repository.storage import nas
from tests.unit.ebackup_service import faulty_fixture
from tests.unit.ebackup_service.repository import base

SIZE = 256 * 1024
ERRORS = (errno.EIO, errno.ESTALE, errno.ENOSPC)
SAMPLE = 6


class BadSectorTestCase(base.RepositoryTestCase):
    """What can't be read for ever, on a storage that answers."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.faulty = faulty_fixture.FaultyDirectory()
        cls.faulty.setUp()
        cls.addClassCleanup(cls.faulty.cleanUp)

    def setUp(self):
        super().setUp()
        self.name = base.new_id()
        os.mkdir(f'{self.faulty.path}/{self.name}')
        self.storage = nas.NasStorage(f'{self.faulty.path}/{self.name}')
        self.addCleanup(self.storage.close)
        self.addCleanup(self.faulty.mend)
        self.images_damage = {}
        self.repo = repository.Repository.create(
            self.storage, pack_size=base.PACK_SIZE
        )
        self.image = self.backup(os.urandom(SIZE))
        leaf = self.repo.tree(self.image.root).leaf(0)
        self.chunks = [leaf.locator(slot) for slot in range(64)]

    def damaged(self):
        """Chunks that a check finds damaged in the image."""
        report = self.check()
        self.assertEqual([self.image.id], report.damaged_images)
        return [
            chunk
            for offset, length in self.images_damage[self.image.id]
            for chunk in range(
                offset // base.CHUNK, (offset + length) // base.CHUNK
            )
        ]

    def break_sector(self, where, offset):
        """In a record, at an offset of the pack that has it."""
        self.faulty.fail(
            'read',
            errno.EIO,
            layout.pack_key(where.pack),
            bad=offset // 4096 * 4096,
        )

    def touching(self, where, offset):
        """Chunks in a pack that have a part in a sector."""
        begin = offset // 4096 * 4096
        return [
            number
            for number, other in enumerate(self.chunks)
            if other.pack == where.pack
            and other.offset < begin + 4096
            and other.offset + other.length > begin
        ]

    def test_bad_sector_costs_the_chunks_that_are_in_it(self):
        where = self.chunks[3]
        self.break_sector(where, where.offset + 100)

        self.assertEqual(
            self.touching(where, where.offset + 100), self.damaged()
        )
        report = self.check(read_data=False)
        self.assertEqual(0, report.damaged)

    def test_bad_sector_in_the_footer_costs_what_else_is_in_it(self):
        where = self.chunks[0]
        end = self.storage.size(layout.pack_key(where.pack)) - 1
        self.break_sector(where, end)

        damaged = self.damaged()

        self.assertEqual(self.touching(where, end), damaged)

    def test_pack_that_can_not_be_opened_is_damaged_as_a_whole(self):
        where = self.chunks[0]
        self.faulty.fail('open', errno.EIO, layout.pack_key(where.pack))
        lost = [n for n, c in enumerate(self.chunks) if c.pack == where.pack]

        self.assertEqual(lost, self.damaged())
        self.check(read_data=False)
        self.assertIn(self.image.id, self.images_damage)

    def test_page_that_can_not_be_read_costs_what_is_below(self):
        self.faulty.fail('read', errno.EIO, '/p-')

        self.assertEqual([*range(64)], self.damaged())

    def test_root_that_can_not_be_read_is_told(self):
        for name in ('root', 'commit'):
            self.faulty.fail('read', errno.EUCLEAN, f'/{name}')
            report = self.check()
            self.assertEqual(1, report.damaged)
            self.assertIn(self.image.id, report.problems[0])
            self.faulty.mend()

    def test_tombstone_that_can_not_be_read_is_told(self):
        self.repo.delete_image(base.new_id())
        self.faulty.fail('read', errno.EIO, '/tombstones/')

        self.assertEqual(1, self.check().damaged)

    def test_collection_deletes_nothing_beside_a_page_it_can_not_read(self):
        self.repo.delete_image(self.backup(os.urandom(SIZE)).id)
        before = self.keys('packs/')
        self.faulty.fail('read', errno.EIO, '/p-')

        self.assertRaises(errors.Corrupt, self.collect)
        self.assertEqual(before, self.keys('packs/'))

    def test_storage_that_is_away_is_not_damaged(self):
        for number in (errno.EIO, errno.ENOTCONN, errno.ESTALE):
            calls = (('read', '/d-'), ('open', '/d-'), ('read', ''))
            for call, path in calls:
                # So that it is met in the middle of the check.
                self.faulty.fail(call, number, path or '/[dp]-')
                if number == errno.EIO:
                    self.faulty.fail('open', number, 'repository.json')
                error = self.assertRaises(
                    errors.StorageUnavailable, self.check
                )
                self.assertTrue(error.retryable)
                self.assertEqual({}, self.images_damage)
                self.faulty.mend()

    def test_storage_that_loses_everything_is_not_damaged(self):
        real = f'{self.faulty.backing}/{self.name}'
        os.rename(f'{real}/packs', f'{real}/elsewhere')
        os.rename(f'{real}/repository.json', f'{real}/away')

        self.assertRaises(
            errors.StorageUnavailable, self.check, read_data=False
        )


class FuseTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.faulty = self.useFixture(faulty_fixture.FaultyDirectory())
        self.path = self.faulty.path
        self.storage = nas.NasStorage(self.path)
        self.addCleanup(self.storage.close)
        self.repo = repository.Repository.create(
            self.storage, pack_size=base.PACK_SIZE
        )
        self.images = [self.backup(os.urandom(SIZE))]

    def each_fault(self, job):
        """Do a job again and again, failing at some of its calls.

        The first time nothing works from its first call on.

        :returns: the errors that it ended with, None where it didn't mind
        """
        self.faulty.mend()
        job()
        calls = self.faulty.mend()
        faults = [(0, errno.EIO, 10**6)] + [
            (after, random.choice(ERRORS), random.choice((1, 10**6)))
            for after in random.sample(range(calls), SAMPLE)
        ]
        for after, number, times in faults:
            self.faulty.fail('', number, after=after, times=times)
            error = None
            try:
                job()
            except errors.RepositoryError as caught:
                error = caught
                self.assertIn(self.path, str(error))
                # After ESTALE the kernel tries again by itself, and may meet
                # what the first try has made all the same.
                numbers = {number}
                if number == errno.ESTALE:
                    numbers.add(errno.EEXIST)
                self.assertTrue(
                    any(os.strerror(n) in str(error) for n in numbers), error
                )
            self.faulty.mend()
            yield error

    def assert_sound(self):
        """What was acknowledged is there, and nothing else for long."""
        known = {image.id for image in self.images}
        for image in self.images:
            self.assertEqual(image.data, self.restore(image.id))
        self.collect(dead=set(self.repo.images()) - known)
        self.assertEqual(known, set(self.repo.images()))
        report = self.check()
        self.assertEqual([], report.problems)

    def add(self):
        self.images.append(
            self.backup(
                os.urandom(SIZE),
                base=self.images[0],
                generation=len(self.images) + 1,
            )
        )

    def test_backup(self):
        failed = 0
        for error in self.each_fault(self.add):
            failed += error is not None
            self.assert_sound()

        self.assertLess(0, failed)

    def test_deletion(self):
        deleted = []

        def delete():
            image = self.backup(os.urandom(5000))
            deleted.append(image.id)
            with contextlib.suppress(errors.RepositoryError):
                self.repo.delete_image(image.id)

        for _ in self.each_fault(delete):
            for image_id in deleted:
                self.repo.delete_image(image_id)
                self.assertFalse(self.repo.is_marked(image_id))
            self.assert_sound()

    def test_collection(self):
        def collect():
            self.repo.delete_image(self.backup(os.urandom(SIZE)).id)
            self.collect()

        for _ in self.each_fault(collect):
            self.assert_sound()

    def test_restore(self):
        def restore():
            self.assertEqual(
                self.images[0].data, self.restore(self.images[0].id)
            )

        for error in self.each_fault(restore):
            # What can't be read now isn't damaged for ever.
            self.assertTrue(error is None or error.retryable)

    def test_check(self):
        def check():
            report = self.check()
            self.assertEqual([], report.problems)

        for error in self.each_fault(check):
            self.assertTrue(error is None or error.retryable)
