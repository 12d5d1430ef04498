# SPDX-License-Identifier: Apache-2.0
"""No room, no permission, or no writing."""

import errno
import os
import subprocess
import sys
import textwrap
from unittest import mock

from ebackup_service.repository import errors
from tests.unit.ebackup_service.repository.storage import test_nas


class FullTestCase(test_nas.NasTestCase):
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


class RefusedTestCase(test_nas.NasTestCase):
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
            ['StorageDenied', 'StorageDenied', 'StorageDenied'],
            done.stdout.split(),
        )
