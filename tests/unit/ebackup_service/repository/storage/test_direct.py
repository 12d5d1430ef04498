# SPDX-License-Identifier: Apache-2.0
import errno
import fcntl
import mmap
import os
from unittest import mock

import fixtures

from ebackup_service.repository.storage import direct
from tests import base

MIB = 1024 * 1024


class WriteAllTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(directory, 'file')
        self.descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR)
        self.addCleanup(os.close, self.descriptor)
        self.buffer = mmap.mmap(-1, 4 * MIB)
        self.buffer.write(os.urandom(4 * MIB))

    def content(self):
        with open(self.path, 'rb') as file:
            return file.read()

    def test_aligned_buffer_of_any_length(self):
        length = 2 * MIB + 1234
        view = memoryview(self.buffer)[:length]

        direct.write_all(self.descriptor, [view])

        self.assertEqual(bytes(view), self.content())
        flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
        self.assertFalse(flags & os.O_DIRECT)

    def test_unaligned_buffer(self):
        view = memoryview(self.buffer)[1 : 2 * MIB]

        direct.write_all(self.descriptor, [view])

        self.assertEqual(bytes(view), self.content())

    def test_several_parts(self):
        whole = bytes(self.buffer[:])

        direct.write_all(
            self.descriptor, [whole[:MIB], b'', whole[MIB:], b'end']
        )

        self.assertEqual(whole + b'end', self.content())

    def test_nothing(self):
        direct.write_all(self.descriptor, [])

        self.assertEqual(b'', self.content())

    def test_short_writes_are_continued(self):
        real = os.write
        data = bytes(self.buffer[: 2 * MIB])

        with mock.patch('os.write', lambda fd, view: real(fd, view[:100_000])):
            direct.write_all(self.descriptor, [data])

        self.assertEqual(data, self.content())

    def test_file_system_without_direct_io(self):
        real = fcntl.fcntl

        def refuse(descriptor, command, *args):
            if command == fcntl.F_SETFL and args[0] & os.O_DIRECT:
                raise OSError(errno.EINVAL, 'no direct I/O')
            return real(descriptor, command, *args)

        data = bytes(self.buffer[: 2 * MIB])
        with mock.patch('fcntl.fcntl', refuse):
            direct.write_all(self.descriptor, [data])

        self.assertEqual(data, self.content())

    def test_errors_of_direct_writes_are_raised(self):
        with mock.patch('os.write', side_effect=OSError(errno.EIO, 'x')):
            self.assertRaises(
                OSError,
                direct.write_all,
                self.descriptor,
                [memoryview(self.buffer)],
            )
