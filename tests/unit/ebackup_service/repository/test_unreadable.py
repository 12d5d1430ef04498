# SPDX-License-Identifier: Apache-2.0
import errno
import os

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import unreadable
from tests.unit.ebackup_service.repository import base


class UnreadableTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.calls = 0

    def failing(self, times, number=errno.EIO):
        def read():
            self.calls += 1
            if self.calls > times:
                return 'content'
            try:
                raise OSError(number, os.strerror(number))
            except OSError as error:
                raise errors.ObjectUnreadable('at the object') from error

        return read

    def attempt(self, read):
        return unreadable.attempt(self.storage, 'pack', 'the/key', read)

    def test_sound_object_is_read_once(self):
        self.assertEqual('content', self.attempt(self.failing(0)))
        self.assertEqual(1, self.calls)

    def test_storage_that_was_away_for_a_moment(self):
        self.assertEqual('content', self.attempt(self.failing(1)))

    def test_object_that_can_not_be_read_is_damaged(self):
        error = self.assertRaises(
            errors.Corrupt, self.attempt, self.failing(2)
        )

        self.assertEqual(('pack', 'the/key'), (error.what, error.name))
        self.assertIn(os.strerror(errno.EIO), str(error))

    def test_nothing_is_damaged_where_nothing_can_be_read(self):
        def away(key, fresh=False):
            self.assertTrue(fresh)
            raise errors.ObjectUnreadable(f'I/O error when reading {key}')

        self.storage.read = away
        error = self.assertRaises(
            errors.StorageUnavailable, self.attempt, self.failing(9)
        )

        self.assertIn(layout.REPOSITORY, str(error))
        self.assertEqual(1, self.calls)

    def test_storage_that_goes_away_between_two_tries(self):
        read, calls = self.storage.read, []

        def going(key, fresh=False):
            calls.append(key)
            if len(calls) > 1:
                raise errors.StorageUnavailable('stale')
            return read(key, fresh)

        self.storage.read = going

        self.assertRaises(
            errors.StorageUnavailable, self.attempt, self.failing(9)
        )

    def test_other_errors_pass(self):
        def read():
            raise errors.StorageUnavailable('timed out')

        self.assertRaises(errors.StorageUnavailable, self.attempt, read)

    def test_repository_that_is_gone_is_away(self):
        os.unlink(f'{self.path}/{layout.REPOSITORY}')

        error = self.assertRaises(
            errors.StorageUnavailable, unreadable.probe, self.storage
        )
        self.assertIn('mounted', str(error))

    def test_what_an_error_means(self):
        error = errors.StorageUnavailable('somewhere')
        error.__cause__ = OSError(errno.EIO, os.strerror(errno.EIO))

        found = unreadable.damaged('pack', 'the/key', error, 'removed')

        self.assertEqual(
            'Damaged pack in the/key: it can not be removed: Input/output '
            'error',
            str(found),
        )
