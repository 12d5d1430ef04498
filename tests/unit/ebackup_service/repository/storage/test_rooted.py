# SPDX-License-Identifier: Apache-2.0
import errno
import os
from unittest import mock

import fixtures

from ebackup_service.repository.storage import rooted
from tests import base


class RootedDirectoryTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.files = rooted.RootedDirectory(self.path)
        self.addCleanup(self.files.close)

    def put(self, path):
        temporary = self.files.write_temporary(path, [b'x'])
        self.files.rename(temporary, path)

    def synced(self, directory):
        """Paths of the directories that a sync() syncs."""
        done = []
        real = os.fsync

        def record(descriptor):
            done.append(os.readlink(f'/proc/self/fd/{descriptor}'))
            real(descriptor)

        with mock.patch('os.fsync', record):
            self.files.sync(directory)
        real_root = os.path.realpath(self.path)
        return [os.path.relpath(path, real_root) for path in done]

    def test_first_sync_reaches_the_top(self):
        self.put('a/b/one')

        self.assertEqual(['a/b', 'a', '.'], self.synced('a/b'))

    def test_later_syncs_are_of_the_directory_only(self):
        self.put('a/b/one')
        self.files.sync('a/b')

        self.assertEqual(['a/b'], self.synced('a/b'))
        self.assertEqual(['.'], self.synced(''))

    def test_directory_that_came_back_is_synced_anew(self):
        self.put('a/b/one')
        self.files.sync('a/b')
        self.files.unlink('a/b/one')
        self.files.prune('a/b')
        self.put('a/b/two')

        self.assertEqual(['a/b', 'a', '.'], self.synced('a/b'))

    def test_memory_of_synced_directories_is_bounded(self):
        self.put('a/b/one')
        self.put('a/c/one')
        with mock.patch.object(rooted, '_REMEMBERED', 1):
            self.files.sync('a/b')
            self.files.sync('a/c')

        self.assertEqual(['a/b', 'a', '.'], self.synced('a/b'))

    def test_file_system_that_cannot_sync_directories(self):
        with mock.patch('os.fsync', side_effect=OSError(errno.EINVAL, 'x')):
            self.files.sync('')

    def test_renamed_root_is_followed(self):
        os.rename(self.path, f'{self.path}-2')
        os.mkdir(self.path)
        self.put('one')

        self.assertEqual(['one'], os.listdir(f'{self.path}-2'))
        os.rmdir(self.path)
        os.rename(f'{self.path}-2', self.path)

    def test_walk_survives_what_comes_and_goes(self):
        self.put('a/one')
        self.put('b/two')
        walk = self.files.walk('', self.fail)
        for path in ('a/one', 'b/two'):
            self.files.unlink(path)
        os.rmdir(f'{self.path}/a')

        self.assertEqual([], list(walk))

    def test_key_of_temporary(self):
        name = self.files.write_temporary('a/b.json', [b''])

        self.assertEqual('a/b.json', rooted.key_of_temporary(name))
        self.assertIsNone(rooted.key_of_temporary('a/b.json'))
        self.assertIsNone(rooted.key_of_temporary('a/.b.tmp'))
        self.assertEqual(
            'one',
            rooted.key_of_temporary(self.files.write_temporary('one', [])),
        )

    def test_clock_is_that_of_new_files(self):
        before = self.files.clock()
        self.put('one')
        after = self.files.clock()

        written = os.stat(f'{self.path}/one').st_mtime
        self.assertLessEqual(before, written)
        self.assertLessEqual(written, after)
        self.assertEqual(['one'], os.listdir(self.path))
