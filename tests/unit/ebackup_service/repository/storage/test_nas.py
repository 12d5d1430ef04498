# SPDX-License-Identifier: Apache-2.0
import errno
import os
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
        self.assertRegex(str(error), f'is missing .*: {self.path}/none;')
        self.assertTrue(error.retryable)

    def test_long_path_hides_no_cause(self):
        error = self.assertRaises(
            errors.StorageUnavailable,
            nas.NasStorage,
            f'{self.path}/{"directory/" * 50}',
        )
        self.assertIn('is missing', str(error)[:255])

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
        error = self.assertRaises(
            errors.NotARepository,
            nas.NasStorage,
            f'{self.path}/not/mounted',
            make=True,
        )
        self.assertIn(f'{self.path}/not/mounted', str(error))
        self.assertFalse(error.retryable)
        self.assertFalse(os.path.exists(f'{self.path}/not'))

    def test_directory_that_nobody_may_make_is_missing(self):
        for number in (errno.EACCES, errno.EPERM, errno.EROFS):
            refusal = OSError(number, os.strerror(number))
            with mock.patch('os.mkdir', side_effect=refusal):
                error = self.assertRaises(
                    errors.NotARepository,
                    nas.NasStorage,
                    f'{self.path}/none',
                    make=True,
                )
                # of one that is there it says nothing
                nas.NasStorage(self.path, make=True).close()
            self.assertIn('is missing', str(error))
            self.assertIn(os.strerror(number), str(error))

    def test_other_failures_to_make_it_stay_what_they_are(self):
        for number, kind in (
            (errno.ENOSPC, errors.StorageFull),
            (errno.EIO, errors.StorageUnavailable),
        ):
            refusal = OSError(number, os.strerror(number))
            with mock.patch('os.mkdir', side_effect=refusal):
                self.assertRaises(
                    kind, nas.NasStorage, f'{self.path}/none', make=True
                )

    def test_url_names_a_directory(self):
        os.mkdir(f'{self.path}/a b')
        url = urllib.parse.urlsplit(f'file://{self.path}/a%20b')

        storage = nas.NasStorage.from_url(url)
        self.addCleanup(storage.close)
        storage.create('one', [b''])

        self.assertTrue(os.path.exists(f'{self.path}/a b/one'))

    def test_other_urls_are_refused(self):
        for url in (
            'file://host/path',
            'file:path',
            'file:///a?b',
            'file:///a#b',
            'file:///a%00b',
            'file:',
        ):
            self.assertRaises(
                errors.InvalidUrl,
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
