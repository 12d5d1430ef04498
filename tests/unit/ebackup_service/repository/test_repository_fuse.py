# SPDX-License-Identifier: Apache-2.0
"""A repository on a file system that fails at any call."""

import contextlib
import errno
import os
import random

from ebackup_service.repository import errors
from ebackup_service.repository import repository
from ebackup_service.repository.storage import nas
from tests.unit.ebackup_service import faulty_fixture
from tests.unit.ebackup_service.repository import base

SIZE = 256 * 1024
ERRORS = (errno.EIO, errno.ESTALE, errno.ENOSPC)
SAMPLE = 6


@faulty_fixture.needed
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

        :returns: the errors that it ended with, None where it didn't mind
        """
        self.faulty.mend()
        job()
        calls = self.faulty.mend()
        for after in random.sample(range(calls), SAMPLE):
            number = random.choice(ERRORS)
            self.faulty.fail(
                '', number, after=after, times=random.choice((1, 10**6))
            )
            error = None
            try:
                job()
            except errors.RepositoryError as caught:
                error = caught
                self.assertIn(self.path, str(error))
                self.assertIn(os.strerror(number), str(error))
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
