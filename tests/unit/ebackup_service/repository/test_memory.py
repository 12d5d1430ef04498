# SPDX-License-Identifier: Apache-2.0
import errno
import mmap
import os
from unittest import mock

from ebackup_service.repository import memory
from tests import base


class AnonymousTestCase(base.BaseTestCase):
    def test_holds_zeros(self):
        self.assertEqual(bytes(10000), memory.anonymous(10000)[:])

    def test_can_be_written_past_the_page_cache(self):
        """Its address is aligned."""
        path = os.path.join(self.create_tempfiles([('direct', '')])[0])
        descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT)
        self.addCleanup(os.close, descriptor)

        self.assertEqual(
            8192, os.pwritev(descriptor, [memory.anonymous(8192)], 0)
        )

    def test_kernel_without_huge_pages_is_good_enough(self):
        class Refusing(mmap.mmap):
            def madvise(self, *arguments):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        with mock.patch.object(mmap, 'mmap', Refusing):
            self.assertEqual(4096, len(memory.anonymous(4096)))
