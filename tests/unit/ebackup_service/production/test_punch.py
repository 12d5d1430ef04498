# SPDX-License-Identifier: Apache-2.0
import errno
import os

import fixtures

from ebackup_service.production import punch
from tests import base


class PunchTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'f')
        with open(path, 'wb') as file:
            file.write(b'x' * (1 << 20))
        self.file = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, self.file)

    def check_zeroed(self, zero):
        self.assertTrue(zero(self.file, 4096, 1 << 19))
        content = os.pread(self.file, 1 << 21, 0)
        self.assertEqual(
            b'x' * 4096
            + bytes(1 << 19)
            + b'x' * ((1 << 20) - 4096 - (1 << 19)),
            content,
        )

    def check_cannot(self, zero):
        # Neither a file system nor a device punches what is no range.
        self.assertFalse(zero(self.file, -1, 4096))
        self.assertEqual(b'x' * 5, os.pread(self.file, 5, 0))

    def check_failure(self, zero):
        error = self.assertRaises(OSError, zero, -1, 0, 4096)
        self.assertEqual(errno.EBADF, error.errno)


class HoleTest(PunchTestCase):
    def test_reads_as_zeros_and_keeps_the_size(self):
        self.check_zeroed(punch.hole)

    def test_gives_the_space_back(self):
        os.fsync(self.file)
        before = os.fstat(self.file).st_blocks
        punch.hole(self.file, 0, 1 << 20)
        self.assertLess(os.fstat(self.file).st_blocks, before)

    def test_says_when_it_cannot(self):
        self.check_cannot(punch.hole)

    def test_failures_are_raised(self):
        self.check_failure(punch.hole)


class ZeroRangeTest(PunchTestCase):
    def test_all_is_zeroed_or_nothing(self):
        if punch.zero_range(self.file, 4096, 4096):
            self.check_zeroed(punch.zero_range)
        else:  # on tmpfs
            self.assertEqual(b'x' * 4096, os.pread(self.file, 4096, 4096))

    def test_says_when_it_cannot(self):
        self.check_cannot(punch.zero_range)

    def test_failures_are_raised(self):
        self.check_failure(punch.zero_range)
