# SPDX-License-Identifier: Apache-2.0
import mmap
import os
import stat

import fixtures

from ebackup_service.production import base as contract
from ebackup_service.production import device
from ebackup_service.production import errors
from ebackup_service.production import paths
from tests import base
from tests import environment
from tests.unit.ebackup_service.production import loops

SIZE = 8 << 20


class DeviceTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.loop = self.useFixture(loops.LoopDevice(SIZE))

    def place(self):
        return paths.look(self.loop.path, ['/dev'])

    def source(self, size=SIZE):
        source = device.open_source(self.place(), size)
        self.addCleanup(source.close)
        return source

    def target(self, size=SIZE):
        target = device.open_target(self.place(), size)
        self.addCleanup(target.close)
        return target


class SourceTest(DeviceTestCase):
    def test_reads_past_the_cache(self):
        source = self.source()
        self.assertTrue(source.waits)
        buffer = memoryview(mmap.mmap(-1, mmap.PAGESIZE))
        with open(self.loop.path, 'rb') as file:
            file.read(mmap.PAGESIZE)  # now it is in the device's cache
            with open(self.loop.backing, 'r+b') as backing:
                backing.write(b'changed')

            source.read(0, buffer)

        self.assertEqual(b'changed', bytes(buffer[:7]))

    def test_reads_what_another_process_has_not_flushed(self):
        source = self.source()
        buffer = memoryview(mmap.mmap(-1, mmap.PAGESIZE))
        with open(self.loop.path, 'r+b') as file:
            file.write(b'content')
            file.flush()

            source.read(0, buffer)

        self.assertEqual(b'content', bytes(buffer[:7]))

    def test_everything_is_data(self):
        self.assertEqual(
            [contract.Extent(0, SIZE, contract.ExtentKind.DATA)],
            list(self.source().extents()),
        )

    def test_mounted(self):
        self.useFixture(loops.Mounted(self.loop.path))
        error = self.assertRaises(
            errors.PathBusy, device.open_source, self.place(), SIZE
        )
        self.assertIn('mounted', str(error))

    def test_nothing_can_claim_it_meanwhile(self):
        source = self.source()
        self.assertRaises(
            OSError, os.open, self.loop.path, os.O_RDWR | os.O_EXCL
        )
        source.close()
        os.close(os.open(self.loop.path, os.O_RDWR | os.O_EXCL))

    def test_sees_what_another_host_wrote(self):
        """What is behind the device changes without its cache knowing."""
        first = self.source()
        # Someone else keeps the device open, and thus its cache alive.
        keeper = os.open(self.loop.path, os.O_RDONLY)
        self.addCleanup(os.close, keeper)
        buffer = bytearray(7)
        first.read(0, memoryview(buffer))
        with open(self.loop.backing, 'r+b') as file:
            file.write(b'changed')
        first.close()
        self.source().read(0, memoryview(buffer))
        self.assertEqual(b'changed', buffer)


class ReplacedTest(DeviceTestCase):
    """Another device appears under the name that was checked."""

    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.directory, 'volume')
        self.other = self.useFixture(loops.LoopDevice(SIZE))
        self.make_node(self.loop.path)

    def make_node(self, device_path):
        number = os.stat(device_path).st_rdev
        os.mknod(self.path, stat.S_IFBLK | 0o600, number)
        try:
            os.close(os.open(self.path, os.O_RDONLY))
        except PermissionError:
            environment.lacks(f'{self.directory} allows no devices')

    def test_between_the_check_and_the_opening(self):
        place = paths.look(self.path, [self.directory])
        os.unlink(self.path)
        self.make_node(self.other.path)
        for opener in (device.open_source, device.open_target):
            self.assertRaises(errors.PathReplaced, opener, place, SIZE)

    def test_after_the_opening_the_descriptor_counts(self):
        place = paths.look(self.path, [self.directory])
        target = device.open_target(place, SIZE)
        self.addCleanup(target.close)
        os.unlink(self.path)
        self.make_node(self.other.path)
        target.write(0, memoryview(b'content'))
        target.flush()
        target.close()
        with open(self.loop.path, 'rb') as file:
            self.assertEqual(b'content', file.read(7))
        with open(self.other.path, 'rb') as file:
            self.assertEqual(bytes(7), file.read(7))


class TargetTest(DeviceTestCase):
    def test_alignment_is_the_sector(self):
        self.assertEqual(512, self.target().alignment)

    def test_mounted(self):
        self.useFixture(loops.Mounted(self.loop.path))
        self.assertRaises(errors.PathBusy, self.target)
