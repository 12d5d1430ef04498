# SPDX-License-Identifier: Apache-2.0
import errno
import os
import subprocess
import sys
import textwrap
from unittest import mock
import urllib.parse

import fixtures

from ebackup_service.repository import errors
from ebackup_service.repository.storage import exclusive
from ebackup_service.repository.storage import nas
from tests import base
from tests.unit.ebackup_service.repository import recording
from tests.unit.ebackup_service.repository.storage import conformance


class ConformanceTestCase(conformance.ConformanceTests, base.BaseTestCase):
    def open_storage(self):
        return nas.NasStorage(self.path)

    def setUp(self):
        self.path = self.useFixture(fixtures.TempDir()).path
        super().setUp()


class RecordingConformanceTestCase(ConformanceTestCase):
    """The wrapper that other tests rely on keeps the contract, too."""

    def open_storage(self):
        return recording.RecordingStorage(super().open_storage())


class WithoutLinksTestCase(ConformanceTestCase):
    """A file system that has no hard links."""

    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MockPatch(
                'os.link', side_effect=OSError(errno.EPERM, 'no links here')
            )
        )


class WithoutExclusiveRenameTestCase(WithoutLinksTestCase):
    """Nor any other way to take a free name only."""

    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MockPatchObject(
                exclusive, 'rename', side_effect=OSError(errno.EINVAL, 'x')
            )
        )


class NasTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.storage = nas.NasStorage(self.path)
        self.addCleanup(self.storage.close)

    def files(self):
        return sorted(
            os.path.relpath(os.path.join(top, name), self.path)
            for top, _, names in os.walk(self.path)
            for name in names
        )


class OpenTestCase(NasTestCase):
    def test_missing_directory_is_told(self):
        error = self.assertRaises(
            errors.StorageUnavailable, nas.NasStorage, f'{self.path}/none'
        )
        self.assertIn(f'{self.path}/none is missing', str(error))
        self.assertTrue(error.retryable)

    def test_file_in_its_place_is_told(self):
        with open(f'{self.path}/file', 'w'):
            pass
        self.assertRaises(
            errors.StorageUnavailable, nas.NasStorage, f'{self.path}/file'
        )

    def test_directory_is_made_if_asked_for(self):
        nas.NasStorage(f'{self.path}/new', make=True).close()
        nas.NasStorage(f'{self.path}/new', make=True).close()
        self.assertTrue(os.path.isdir(f'{self.path}/new'))

    def test_directories_above_are_not_made(self):
        self.assertRaises(
            errors.StorageUnavailable,
            nas.NasStorage,
            f'{self.path}/not/mounted',
            make=True,
        )
        self.assertFalse(os.path.exists(f'{self.path}/not'))

    def test_url_names_a_directory(self):
        os.mkdir(f'{self.path}/a b')
        url = urllib.parse.urlsplit(f'file://{self.path}/a%20b')

        storage = nas.NasStorage.from_url(url)
        self.addCleanup(storage.close)
        storage.create('one', [b''])

        self.assertTrue(os.path.exists(f'{self.path}/a b/one'))

    def test_other_urls_are_refused(self):
        for url in ('file://host/path', 'file:path', 'file:///a?b', 'file:'):
            self.assertRaises(
                ValueError,
                nas.NasStorage.from_url,
                urllib.parse.urlsplit(url),
            )


class CreateTestCase(NasTestCase):
    def test_no_temporary_file_stays(self):
        self.storage.create('a/one', [b'x'])
        self.storage.replace('two', b'x')
        self.assertRaises(
            errors.ObjectExists, self.storage.create, 'two', [b'y']
        )

        self.assertEqual(['a/one', 'two'], self.files())

    def test_no_temporary_file_stays_after_a_failure(self):
        with mock.patch(
            'os.fsync', side_effect=OSError(errno.EIO, 'disk is gone')
        ):
            error = self.assertRaises(
                errors.StorageUnavailable,
                self.storage.create,
                'a/one',
                [b'x'],
            )

        self.assertIn('disk is gone', str(error))
        self.assertIn(f'{self.path}/a/one', str(error))
        self.assertEqual([], self.files())

    def test_object_that_is_not_durable_is_taken_back(self):
        real = os.fsync
        calls = []

        def only_the_file(descriptor):
            calls.append(descriptor)
            if len(calls) > 1:
                raise OSError(errno.EIO, 'directory is gone')
            real(descriptor)

        with mock.patch('os.fsync', only_the_file):
            self.assertRaises(
                errors.StorageUnavailable,
                self.storage.create,
                'one',
                [b'x'],
            )

        self.assertEqual([], self.files())
        self.storage.create('one', [b'x'])

    def test_repeated_request_of_nfs_is_no_conflict(self):
        real = os.link

        def answer_lost(*args, **kwargs):
            real(*args, **kwargs)
            raise FileExistsError(errno.EEXIST, 'a retransmission')

        with mock.patch('os.link', answer_lost):
            self.storage.create('one', [b'x'])

        self.assertEqual(b'x', self.storage.read('one'))
        self.assertEqual(['one'], self.files())

    def test_failure_takes_away_nothing_of_others(self):
        def another_is_quicker(source, target, **kwargs):
            with open(os.path.join(self.path, target), 'w') as file:
                file.write('theirs')
            raise OSError(errno.EIO, 'answer lost')

        with mock.patch('os.link', another_is_quicker):
            self.assertRaises(
                errors.StorageUnavailable, self.storage.create, 'one', [b'x']
            )

        self.assertEqual(b'theirs', self.storage.read('one'))

    def test_temporary_file_that_a_collection_took_is_written_again(self):
        real = os.link
        calls = []

        def taken(source, *args, **kwargs):
            calls.append(source)
            if len(calls) == 1:
                os.unlink(os.path.join(self.path, source))
            real(source, *args, **kwargs)

        with mock.patch('os.link', taken):
            self.storage.create('a/one', [b'x'])

        self.assertEqual(b'x', self.storage.read('a/one'))

    def test_directory_that_vanished_is_told(self):
        os.rmdir(self.path)

        self.assertRaises(
            errors.StorageUnavailable, self.storage.create, 'a/one', [b'x']
        )
        self.assertRaises(
            errors.StorageUnavailable, self.storage.create, 'one', [b'x']
        )
        os.mkdir(self.path)

    def test_failed_replace_leaves_the_old_object(self):
        self.storage.replace('owner.json', b'old')
        with mock.patch(
            'os.rename', side_effect=OSError(errno.EIO, 'disk is gone')
        ):
            self.assertRaises(
                errors.StorageUnavailable,
                self.storage.replace,
                'owner.json',
                b'new',
            )

        self.assertEqual(b'old', self.storage.read('owner.json'))
        self.assertEqual(['owner.json'], self.files())


class FullTestCase(NasTestCase):
    def test_full_disk_is_told_and_leaves_nothing(self):
        for number in (errno.ENOSPC, errno.EDQUOT):
            with mock.patch(
                'os.write', side_effect=OSError(number, os.strerror(number))
            ):
                error = self.assertRaises(
                    errors.StorageFull,
                    self.storage.create,
                    'a/one',
                    [bytes(2 * 1024 * 1024)],
                )
            self.assertTrue(error.retryable)
        self.assertEqual([], self.files())

    def test_real_limit_in_the_middle_of_a_pack(self):
        # In a process of its own: the limit can't be taken back.
        program = textwrap.dedent("""
            import resource, sys
            from ebackup_service.repository import errors
            from ebackup_service.repository.storage import nas
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            storage = nas.NasStorage(sys.argv[1])
            try:
                storage.create('a/one', [bytes(3 << 20)])
            except errors.StorageFull as error:
                print(type(error).__name__)
            storage.create('a/two', [bytes(1 << 20)])
        """)
        done = subprocess.run(
            [sys.executable, '-c', program, self.path],
            capture_output=True,
            text=True,
            check=True,
        )

        self.assertEqual('StorageFull\n', done.stdout)
        self.assertEqual(['a/two'], self.files())


class RefusedTestCase(NasTestCase):
    def test_read_only_file_system_is_told(self):
        real = os.open

        def read_only(path, flags, *args, **kwargs):
            if flags & os.O_CREAT:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            return real(path, flags, *args, **kwargs)

        self.storage.create('one', [b'x'])
        with mock.patch('os.open', read_only):
            error = self.assertRaises(
                errors.StorageReadOnly, self.storage.create, 'two', [b'x']
            )
            self.assertEqual(b'x', self.storage.read('one'))
        self.assertFalse(error.retryable)

    def test_directory_without_permission_is_told(self):
        # As another user, since permissions don't hold root back.
        program = textwrap.dedent("""
            import os, sys
            from ebackup_service.repository import errors
            from ebackup_service.repository.storage import nas
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            storage = nas.NasStorage(sys.argv[1])
            for call in (
                lambda: storage.create('one', [b'x']),
                lambda: storage.read('secret'),
                lambda: nas.NasStorage(sys.argv[1] + '/closed'),
            ):
                try:
                    call()
                except errors.RepositoryError as error:
                    print(type(error).__name__)
        """)
        self.storage.create('secret', [b'x'])
        os.chmod(f'{self.path}/secret', 0)
        os.mkdir(f'{self.path}/closed')
        os.chmod(f'{self.path}/closed', 0)
        os.chmod(self.path, 0o555)
        self.addCleanup(os.chmod, self.path, 0o755)
        top = os.path.dirname(self.path)
        mode = os.stat(top).st_mode
        os.chmod(top, mode | 0o011)
        self.addCleanup(os.chmod, top, mode)

        done = subprocess.run(
            [sys.executable, '-c', program, self.path],
            capture_output=True,
            text=True,
            check=True,
        )

        self.assertEqual(
            ['StorageReadOnly', 'StorageDenied', 'StorageDenied'],
            done.stdout.split(),
        )


class DeleteTestCase(NasTestCase):
    def test_empty_directories_go_but_the_top_ones(self):
        self.storage.create('packs/aa/s/d-1', [b'x'])
        self.storage.create('packs/aa/s/d-2', [b'x'])

        self.storage.delete('packs/aa/s/d-1')
        self.assertTrue(os.path.isdir(f'{self.path}/packs/aa/s'))

        self.storage.delete('packs/aa/s/d-2')
        self.assertEqual([], os.listdir(f'{self.path}/packs'))

    def test_failure_is_told(self):
        self.storage.create('one', [b'x'])
        with mock.patch('os.unlink', side_effect=OSError(errno.EIO, 'x')):
            self.assertRaises(
                errors.StorageUnavailable, self.storage.delete, 'one'
            )


class ForeignTestCase(NasTestCase):
    def test_foreign_names_are_not_listed(self):
        self.storage.create('a/one', [b'x'])
        for name in ('lost+found', 'README', '.hidden', 'a/.snapshot'):
            with open(f'{self.path}/{name}', 'w'):
                pass

        self.assertEqual(
            ['a/one'], [info.key for info in self.storage.list('')]
        )

    def test_links_and_pipes_are_no_objects(self):
        os.symlink('/etc/passwd', f'{self.path}/link')
        os.mkfifo(f'{self.path}/pipe')

        self.assertEqual([], list(self.storage.list('')))
        self.assertRaises(errors.ObjectMissing, self.storage.read, 'pipe')
        self.assertRaises(errors.RepositoryError, self.storage.read, 'link')

    def test_io_error_of_a_read_is_retryable(self):
        self.storage.create('one', [b'x'])
        with mock.patch('os.preadv', side_effect=OSError(errno.EIO, 'x')):
            self.assertRaises(
                errors.StorageUnavailable, self.storage.read, 'one'
            )


class StaleTestCase(NasTestCase):
    def setUp(self):
        super().setUp()
        self.storage.create('packs/aa/s/d-1', [b'x'])
        self.crash('packs/aa/s/d-2')
        self.crash('packs/bb/t/d-1')
        self.crash('owner.json')

    def crash(self, key):
        """Leave what a process leaves that is killed in create()."""
        with mock.patch('os.link', side_effect=recording.Crash):
            with mock.patch('os.unlink'):
                self.assertRaises(
                    recording.Crash, self.storage.create, key, [b'x']
                )

    def temporaries(self):
        return [name for name in self.files() if name.endswith('.tmp')]

    def test_half_done_objects_are_not_listed(self):
        self.assertEqual(3, len(self.temporaries()))
        self.assertEqual(
            ['packs/aa/s/d-1'],
            [info.key for info in self.storage.list('')],
        )

    def test_old_ones_go_with_their_directories(self):
        self.assertEqual(3, self.storage.remove_stale('', 0.0))

        self.assertEqual(['packs/aa/s/d-1'], self.files())
        self.assertEqual(['aa'], os.listdir(f'{self.path}/packs'))

    def test_young_ones_stay(self):
        self.assertEqual(0, self.storage.remove_stale('', 60.0))
        self.assertEqual(3, len(self.temporaries()))

    def test_only_those_of_the_prefix_go(self):
        self.assertEqual(2, self.storage.remove_stale('packs/', 0.0))
        self.assertEqual(1, len(self.temporaries()))

    def test_what_is_to_be_kept_stays(self):
        asked = []

        def keep(key):
            asked.append(key)
            return key.startswith('packs/aa')

        self.assertEqual(2, self.storage.remove_stale('', 0.0, keep))
        self.assertEqual(
            ['owner.json', 'packs/aa/s/d-2', 'packs/bb/t/d-1'],
            sorted(asked),
        )
        self.assertEqual(1, len(self.temporaries()))
