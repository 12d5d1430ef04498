# SPDX-License-Identifier: Apache-2.0
import errno
import os
from unittest import mock

import fixtures

from ebackup_service.repository.storage import exclusive
from tests import base


class RenameTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.directory = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.directory)
        self.put('one', 'first')

    def put(self, name, content):
        with open(os.path.join(self.path, name), 'w') as file:
            file.write(content)

    def content(self, name):
        with open(os.path.join(self.path, name)) as file:
            return file.read()

    def test_free_name_is_taken(self):
        exclusive.rename('one', 'two', self.directory)

        self.assertEqual(['two'], os.listdir(self.path))

    def test_name_in_use_is_told_and_left_alone(self):
        self.put('two', 'second')

        error = self.assertRaises(
            FileExistsError, exclusive.rename, 'one', 'two', self.directory
        )

        self.assertEqual('two', error.filename2)
        self.assertEqual(
            ['first', 'second'], [*map(self.content, ('one', 'two'))]
        )

    def test_missing_file_is_told(self):
        self.assertRaises(
            FileNotFoundError, exclusive.rename, 'no', 'two', self.directory
        )

    def test_c_library_without_it(self):
        with mock.patch.object(exclusive, '_call', None):
            error = self.assertRaises(
                OSError, exclusive.rename, 'one', 'two', self.directory
            )

        self.assertEqual(errno.ENOSYS, error.errno)
