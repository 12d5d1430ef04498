# SPDX-License-Identifier: Apache-2.0
import errno
import os
from unittest import mock

import fixtures

from ebackup_service.production import base as contract
from ebackup_service.production import errors
from ebackup_service.production import file
from ebackup_service.production import paths
from tests import base
from tests.unit.ebackup_service.production import loops

MIB = 1 << 20


class FileTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.directory, 'volume')

    def place(self):
        return paths.look(self.path, [self.directory])

    def write(self, *pieces, size):
        """pieces: (offset, content)"""
        with open(self.path, 'wb') as out:
            out.truncate(size)
            for offset, content in pieces:
                out.seek(offset)
                out.write(content)

    def source(self, size):
        source = file.open_source(self.place(), size)
        self.addCleanup(source.close)
        return source

    def target(self, size):
        target = file.open_target(self.place(), size)
        self.addCleanup(target.close)
        return target


class SourceTest(FileTestCase):
    def test_holes_are_not_named(self):
        self.write((MIB, b'x' * MIB), (4 * MIB, b'y' * 4096), size=8 * MIB)
        source = self.source(8 * MIB)
        self.assertEqual(
            (contract.ExtentKind.HOLE, False), (source.gaps, source.waits)
        )
        data = contract.ExtentKind.DATA
        self.assertEqual(
            [(MIB, MIB, data), (4 * MIB, 4096, data)],
            list(source.extents()),
        )

    def test_data_up_to_an_odd_end(self):
        self.write((0, b'x' * 5000), size=5000)
        self.assertEqual(
            [(0, 5000, contract.ExtentKind.DATA)],
            list(self.source(5000).extents()),
        )

    def test_empty(self):
        self.write(size=0)
        self.assertEqual([], list(self.source(0).extents()))

    def test_file_system_that_cannot_tell(self):
        self.write(size=MIB)
        source = self.source(MIB)
        with mock.patch.object(
            os, 'lseek', side_effect=OSError(errno.EINVAL, 'Invalid')
        ):
            self.assertEqual(
                [(0, MIB, contract.ExtentKind.DATA)], list(source.extents())
            )

    def test_file_system_that_fails(self):
        self.write(size=MIB)
        source = self.source(MIB)
        with mock.patch.object(
            os, 'lseek', side_effect=OSError(errno.EIO, 'I/O error')
        ):
            self.assertRaises(errors.SourceUnavailable, list, source.extents())


class TargetTest(FileTestCase):
    def test_emptied_file_gets_its_size_back(self):
        self.write(size=0)
        target = self.target(5 * MIB + 1)
        self.assertTrue(target.truncated)
        self.assertEqual(5 * MIB + 1, os.stat(self.path).st_size)

    def test_file_that_the_driver_gave_its_size_back(self):
        self.write((0, b'x'), size=5 * MIB)
        os.truncate(self.path, 0)
        os.truncate(self.path, 5 * MIB)
        self.assertTrue(self.target(5 * MIB).truncated)

    def test_file_that_holds_something(self):
        self.write((4 * MIB, b'x'), size=5 * MIB)
        self.assertFalse(self.target(5 * MIB).truncated)


class BackingFileTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()

    def test_is_neither_source_nor_target(self):
        loop = self.useFixture(loops.LoopDevice(MIB))
        place = paths.look(loop.backing, [os.path.dirname(loop.backing)])
        for opener in (file.open_source, file.open_target):
            error = self.assertRaises(errors.PathBusy, opener, place, MIB)
            self.assertIn(loop.path, str(error))
