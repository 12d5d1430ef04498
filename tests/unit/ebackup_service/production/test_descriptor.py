# SPDX-License-Identifier: Apache-2.0
import errno
import mmap
import os
from unittest import mock

import fixtures

from ebackup_service.production import base as contract
from ebackup_service.production import descriptor
from ebackup_service.production import errors
from ebackup_service.production import hold
from ebackup_service.production import punch
from tests import base
from tests.unit.ebackup_service.production import holder

PAGE = mmap.PAGESIZE
SIZE = 8 * PAGE + 100


class Stopped(Exception):
    """The job was told to stop."""


class DescriptorTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(directory, 'volume')
        with open(self.path, 'wb') as file:
            file.write(b'x' * SIZE)
        self.opened = os.open(self.path, os.O_RDWR)

    def content(self):
        with open(self.path, 'rb') as file:
            return file.read()


class SourceTest(DescriptorTestCase):
    def source(self, **kwargs):
        extent = contract.Extent(0, SIZE, contract.ExtentKind.DATA)
        kwargs.setdefault('list_extents', lambda: iter([extent]))
        source = descriptor.DescriptorSource(
            self.opened, 'the volume', SIZE, **kwargs
        )
        self.addCleanup(source.close)
        return source

    def test_short_reads_go_on(self):
        buffer = bytearray(100)
        whole = os.preadv

        def a_few(opened, buffers, offset):
            return whole(opened, [buffers[0][:7]], offset)

        with mock.patch.object(os, 'preadv', a_few):
            self.source().read(0, memoryview(buffer))
        self.assertEqual(b'x' * 100, buffer)

    def test_shrunk_while_being_read(self):
        source = self.source()
        os.truncate(self.path, PAGE)
        error = self.assertRaises(
            errors.SizeMismatch,
            source.read,
            0,
            memoryview(bytearray(SIZE)),
        )
        self.assertIn(f'ended at byte {PAGE}', str(error))

    def test_read_failure(self):
        source = self.source()
        with mock.patch.object(
            os, 'preadv', side_effect=OSError(errno.EIO, 'I/O error')
        ):
            error = self.assertRaises(
                errors.SourceUnavailable,
                source.read,
                0,
                memoryview(bytearray(1)),
            )
        self.assertIn('I/O error while reading the volume', str(error))

    def test_failure_to_list_extents(self):
        def fail():
            raise OSError(errno.EIO, 'I/O error')
            yield

        source = self.source(list_extents=fail)
        self.assertRaises(errors.SourceUnavailable, list, source.extents())

    def test_close_releases_once(self):
        release = mock.Mock()
        source = self.source(release=release)
        source.close()
        source.close()
        release.assert_called_once_with()


class TargetTest(DescriptorTestCase):
    def target(self, direct=True, **kwargs):
        opened = (
            descriptor.open_direct(self.opened, os.O_RDWR) if direct else -1
        )
        target = descriptor.DescriptorTarget(
            self.opened, opened, 'the volume', SIZE, False, PAGE, **kwargs
        )
        self.addCleanup(target.close)
        return target

    def buffer(self, length, fill=b'n'):
        buffer = mmap.mmap(-1, max(length, 1))
        buffer.write(fill * length)
        return memoryview(buffer)[:length]

    def test_writes_aligned_and_not_aligned(self):
        for direct in (True, False):
            for offset, length in (
                (0, PAGE),
                (PAGE, 2 * PAGE + 13),
                (7 * PAGE, PAGE + 100),
                (3, 5),
                (PAGE + 1, 2 * PAGE),
                (SIZE, 0),
            ):
                with self.subTest(direct=direct, offset=offset):
                    os.pwrite(self.opened, b'x' * SIZE, 0)
                    target = self.target(direct)
                    target.write(offset, self.buffer(length))
                    target.flush()
                    rest = SIZE - offset - length
                    self.assertEqual(
                        b'x' * offset + b'n' * length + b'x' * rest,
                        self.content(),
                    )
                    self.opened = os.dup(self.opened)
                    target.close()

    def cannot(self, *ways):
        """Nobody can give space back, or zero, in these ways."""
        for way in ways:
            self.useFixture(
                fixtures.MockPatchObject(punch, way, return_value=False)
            )
        self.useFixture(fixtures.MockPatchObject(descriptor, '_ZEROS', PAGE))

    def stopped_after(self, count):
        """A hold that lets so many calls pass before the job has to stop."""
        left = iter(range(count))

        def check():
            if next(left, None) is None:
                raise Stopped

        return hold.Hold('the volume', None, check)

    def test_writes_zeros_only_while_the_volume_is_held(self):
        driver = self.useFixture(holder.Holder(self.path))
        target = self.target(hold=hold.Hold('the volume', driver.lock))
        pieces = []
        whole = os.pwritev

        def let_go_after_the_first(opened, buffers, offset):
            pieces.append(offset)
            driver.let_go()
            return whole(opened, buffers, offset)

        self.cannot('hole', 'zero_range')
        with mock.patch.object(os, 'pwritev', let_go_after_the_first):
            self.assertRaises(errors.DriverLost, target.zero, 0, 4 * PAGE)
        self.assertEqual([0], pieces)
        self.assertTrue(self.content().startswith(bytes(PAGE) + b'x'))

    def test_no_zeros_are_written_once_the_job_has_to_stop(self):
        self.cannot('hole', 'zero_range')
        # once for the hole, then for each piece, and for writing it
        target = self.target(hold=self.stopped_after(5))
        self.assertRaises(Stopped, target.zero, 0, 4 * PAGE)
        self.assertEqual(
            bytes(2 * PAGE) + b'x' * (SIZE - 2 * PAGE), self.content()
        )

    def test_what_the_kernel_zeroes_is_asked_for_in_pieces(self):
        self.cannot('hole')
        pieces = []

        def zero(opened, offset, length):
            pieces.append((offset, length))
            return True

        self.useFixture(fixtures.MockPatchObject(punch, 'zero_range', zero))
        target = self.target(hold=self.stopped_after(3))
        self.assertRaises(Stopped, target.zero, 5, 4 * PAGE)
        self.assertEqual([(5, PAGE), (5 + PAGE, PAGE)], pieces)

    def test_a_short_write_does_not_go_on_once_the_job_has_to_stop(self):
        written = []

        def half(opened, buffers, offset):
            written.append(offset)
            return PAGE

        with mock.patch.object(os, 'pwritev', half):
            target = self.target(hold=self.stopped_after(2))
            self.assertRaises(Stopped, target.write, 0, self.buffer(4 * PAGE))
        self.assertEqual([0, PAGE], written)

    def test_aligned_writes_pass_the_page_cache(self):
        target = self.target()
        written = []
        whole = os.pwritev

        def remember(opened, buffers, offset):
            written.append((opened, offset))
            return whole(opened, buffers, offset)

        with mock.patch.object(os, 'pwritev', remember):
            target.write(7 * PAGE, self.buffer(PAGE + 100))
        self.assertEqual(
            [(target._direct, 7 * PAGE), (target._descriptor, 8 * PAGE)],
            written,
        )

    def test_zero_where_nobody_can_punch(self):
        self.cannot('hole', 'zero_range')
        self.target().zero(5, 2 * PAGE + 1)
        self.assertEqual(
            b'x' * 5 + bytes(2 * PAGE + 1) + b'x' * (SIZE - 6 - 2 * PAGE),
            self.content(),
        )

    def test_failures_name_the_volume(self):
        target = self.target()
        full = OSError(errno.ENOSPC, 'No space left on device')
        with mock.patch.object(os, 'pwritev', side_effect=full):
            error = self.assertRaises(
                errors.TargetUnavailable,
                target.write,
                0,
                self.buffer(PAGE),
            )
        self.assertIn('No space left on device', str(error))
        self.assertIn('the volume', str(error))
        with mock.patch.object(os, 'pwritev', return_value=0):
            self.assertRaises(
                errors.TargetUnavailable, target.write, 3, self.buffer(5)
            )
        with mock.patch.object(punch, 'hole', side_effect=full):
            self.assertRaises(errors.TargetUnavailable, target.zero, 0, 1)
        with mock.patch.object(os, 'fsync', side_effect=full):
            self.assertRaises(errors.TargetUnavailable, target.flush)


class OpenDirectTest(base.BaseTestCase):
    def test_where_that_cannot_be(self):
        reader, writer = os.pipe()
        os.close(reader)
        os.close(writer)
        self.assertEqual(-1, descriptor.open_direct(writer, os.O_RDONLY))
