# SPDX-License-Identifier: Apache-2.0
"""NasStorage on a file system that fails, really."""

import errno
import os
import tempfile
import threading

from ebackup_service.repository import errors
from ebackup_service.repository.storage import nas
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import faulty_fixture
from tests.unit.ebackup_service.repository.storage import conformance


class ConformanceTestCase(conformance.ConformanceTests, base.BaseTestCase):
    """The file system is one, as long as it isn't told otherwise."""

    has_links = True
    has_exclusive_rename = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.faulty = faulty_fixture.FaultyDirectory()
        cls.faulty.setUp()
        cls.addClassCleanup(cls.faulty.cleanUp)
        cls.faulty.set('has_links', cls.has_links)
        cls.faulty.set('has_exclusive_rename', cls.has_exclusive_rename)

    def setUp(self):
        self.path = tempfile.mkdtemp(dir=self.faulty.path)
        super().setUp()

    def open_storage(self):
        return nas.NasStorage(self.path)


class WithoutLinksTestCase(ConformanceTestCase):
    has_links = False


class WithoutExclusiveRenameTestCase(WithoutLinksTestCase):
    has_exclusive_rename = False


class FaultTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.faulty = self.useFixture(faulty_fixture.FaultyDirectory())
        self.storage = nas.NasStorage(self.faulty.path)
        self.addCleanup(self.storage.close)

    def assert_whole_or_missing(self, key, data):
        """And nothing else is there, or is in the way of another try."""
        found = {info.key: info.size for info in self.storage.list('')}
        if key in found:
            self.assertEqual(data, self.storage.read(key))
        else:
            self.storage.create(key, [data])
        self.storage.remove_stale('', 0.0)
        files = [
            name for _, _, names in os.walk(self.faulty.path) for name in names
        ]
        self.assertEqual([os.path.basename(key)], files)

    def create_with(self, call, number, after=0):
        """Create while a call fails, and again when it doesn't any more."""
        self.faulty.fail(call, number, after=after)
        error = None
        try:
            self.storage.create('a/b/one', [b'x' * 5000])
        except errors.RepositoryError as caught:
            error = caught
        self.faulty.mend()
        self.assert_whole_or_missing('a/b/one', b'x' * 5000)
        self.storage.delete('a/b/one')
        return error

    def test_creations_that_fail(self):
        kinds = {
            errno.EIO: errors.StorageUnavailable,
            errno.ESTALE: errors.StorageUnavailable,
            errno.ENOSPC: errors.StorageFull,
            errno.EDQUOT: errors.StorageFull,
            errno.EROFS: errors.StorageReadOnly,
        }
        for has_links in (True, False):
            self.faulty.set('has_links', has_links)
            naming = 'link' if has_links else 'rename'
            for call in (
                'mkdir',
                'create',
                'write',
                'fsync',
                naming,
                'fsyncdir',
            ):
                for number, kind in kinds.items():
                    error = self.create_with(call, number)
                    self.assertIsInstance(error, kind, call)
                    self.assertIn(os.strerror(number), str(error))
                    self.assertIn(f'{self.faulty.path}/a/b/one', str(error))

    def test_creation_on_a_reserved_name_that_fails(self):
        self.faulty.set('has_links', False)
        self.faulty.set('has_exclusive_rename', False)

        # The first one is refused anyway, for its flag.
        self.assertIsInstance(
            self.create_with('rename', errno.EIO, after=1),
            errors.StorageUnavailable,
        )

    def test_temporary_files_that_can_not_be_removed(self):
        self.assertIsNone(self.create_with('unlink', errno.EIO))

    def test_answer_that_was_lost(self):
        """The name was given, and the client is told otherwise."""
        for has_links, call in ((True, 'linked'), (False, 'renamed')):
            self.faulty.set('has_links', has_links)
            self.faulty.fail(call, errno.EIO)
            self.assertRaises(
                errors.StorageUnavailable,
                self.storage.create,
                'a/b/one',
                [b'x'],
            )

            self.faulty.mend()
            self.storage.create('a/b/one', [b'x'])
            self.storage.delete('a/b/one')

    def test_replacements_that_fail(self):
        self.storage.replace('a/one', b'old')
        for call in ('create', 'write', 'fsync', 'rename', 'fsyncdir'):
            self.faulty.fail(call, errno.EIO)
            self.assertRaises(
                errors.StorageUnavailable,
                self.storage.replace,
                'a/one',
                b'new',
            )
            self.faulty.mend()
            self.assertIn(self.storage.read('a/one'), (b'old', b'new'))
            self.storage.replace('a/one', b'old')
            self.assert_whole_or_missing('a/one', b'old')

    def test_reads_that_fail(self):
        self.storage.create('a/one', [b'x' * 5000])
        buffer = memoryview(bytearray(100))
        calls = {
            'open': lambda: self.storage.size('a/one'),
            'read': lambda: self.storage.read_into('a/one', 4000, buffer),
            'getattr': lambda: self.storage.read('a/one'),
            'readdir': lambda: list(self.storage.list('')),
            'statfs': self.storage.usage,
            'unlink': lambda: self.storage.delete('a/one'),
        }
        for call, function in calls.items():
            for number in (errno.EIO, errno.ESTALE):
                self.faulty.fail(call, number)
                error = self.assertRaises(errors.StorageUnavailable, function)
                self.assertIn(os.strerror(number), str(error))
                self.assertIn(self.faulty.path, str(error))
                self.assertTrue(error.retryable)
                self.faulty.mend()
                function()
                if call == 'unlink':
                    self.storage.create('a/one', [b'x'])

    def test_short_read_is_no_end(self):
        self.storage.create('a/one', [bytes(range(256)) * 1000])
        self.faulty.fail('read', errno.EIO, after=1)

        self.assertRaises(
            errors.StorageUnavailable, self.storage.read, 'a/one'
        )


class HangTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.faulty = self.useFixture(faulty_fixture.FaultyDirectory())
        self.storage = nas.NasStorage(self.faulty.path)

    def test_others_go_on_while_one_hangs(self):
        self.storage.create('other/one', [b'x'])
        for call in ('create', 'write', 'fsync', 'link', 'fsyncdir'):
            self.faulty.hang(call, '^/hung')
            thread = threading.Thread(
                target=self.storage.create, args=(f'hung/{call}', [b'x'])
            )
            thread.start()
            self.addCleanup(thread.join)
            self.addCleanup(self.faulty.mend)
            catalog_fixture.wait_for(lambda: self.faulty.hanging, 'a hang')

            self.storage.create(f'other/{call}', [b'x'])
            self.assertEqual(b'x', self.storage.read('other/one'))
            self.assertIn(
                f'other/{call}',
                {info.key for info in self.storage.list('other/')},
            )
            self.storage.delete(f'other/{call}')
            self.assertTrue(thread.is_alive())

            self.faulty.mend()
            thread.join(20)
            self.assertEqual(b'x', self.storage.read(f'hung/{call}'))


class UnreadableTestCase(base.BaseTestCase):
    """Of what is listed, a part can't be read."""

    def setUp(self):
        super().setUp()
        self.faulty = self.useFixture(faulty_fixture.FaultyDirectory())
        self.storage = nas.NasStorage(self.faulty.path)
        self.addCleanup(self.storage.close)
        self.told = {}
        for key in ('a/one', 'a/b/two', 'a/b/c/three', 'd/four'):
            self.storage.create(key, [b'x'])

    def list(self, prefix=''):
        return {
            info.key
            for info in self.storage.list(prefix, self.told.__setitem__)
        }

    def test_the_rest_is_listed(self):
        for call in ('readdir', 'getattr'):
            self.told.clear()
            self.faulty.fail(call, errno.EIO, '^/a/b$')
            self.assertEqual(
                {'a/one', 'd/four'}, self.list() - {'a/b/c/three'}
            )
            self.assertEqual(['a/b'], [*self.told])
            self.assertIn(f'{self.faulty.path}/a/b', str(self.told['a/b']))
            self.faulty.mend()

    def test_file_of_which_only_the_name_is_known(self):
        self.faulty.fail('getattr', errno.EIO, 'two')

        self.assertEqual({'a/one', 'a/b/c/three'}, self.list('a/'))
        self.assertEqual(['a/b/two'], [*self.told])

    def test_prefix_itself(self):
        for prefix in ('', 'a/'):
            self.told.clear()
            path = prefix.rstrip('/')
            self.faulty.fail('readdir', errno.EIO, f'^/{path}$')
            self.assertEqual(set(), self.list(prefix))
            self.assertEqual([path], [*self.told])
            self.faulty.mend()

    def test_names_that_are_no_keys(self):
        os.mkdir(f'{self.faulty.path}/lost+found')
        self.faulty.fail('readdir', errno.EIO, '^/lost.found$')

        self.assertEqual(4, len(self.list()))
        self.assertEqual({}, self.told)

    def test_storage_that_is_away_is_raised(self):
        self.faulty.fail('readdir', errno.ESTALE, '^/a/b$')

        self.assertRaises(errors.StorageUnavailable, self.list)
        self.assertEqual({}, self.told)

    def test_temporary_files_that_can_not_be_met(self):
        for directory in ('a', 'a/b', 'd'):
            name = f'{directory}/.x.{"0" * 32}.tmp'
            with open(f'{self.faulty.backing}/{name}', 'wb'):
                pass
        self.faulty.fail('readdir', errno.EIO, '^/a/b$')
        self.faulty.fail('unlink', errno.EIO, '^/d/')

        removed = self.storage.remove_stale(
            '', 0.0, unreadable=self.told.__setitem__
        )

        self.assertEqual(1, removed)
        self.assertEqual({'a/b', name}, {*self.told})
        self.assertRaises(
            errors.ObjectUnreadable, self.storage.remove_stale, '', 0.0
        )
