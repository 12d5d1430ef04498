# SPDX-License-Identifier: Apache-2.0
"""Restores to a volume whose storage still has its anchor."""

import os
from unittest import mock

from ebackup_service.engine import places
from ebackup_service.production import base as production
from ebackup_service.production import descriptor
from ebackup_service.production import memory
from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import storages
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.proxy import volumes_case

CHUNK = volumes_case.CHUNK
SIZE = volumes_case.SIZE


class TestInPlace(volumes_case.VolumesTestCase):
    def setUp(self):
        super().setUp()
        self.old = self.content()
        self.first, _ = self.back_up()
        self.change(1)
        self.change(30)
        self.second, _ = self.back_up()
        self.new = self.content()
        self.change(3)

    def test_volume_is_not_read(self):
        result = self.put_back(self.first)
        self.assertEqual(self.old, self.content())
        self.assertEqual('named', result['changes'])
        self.assertEqual(0, result['bytes_read'])
        # chunks 1 and 3; 30 was a hole
        self.assertEqual(2 * CHUNK, result['bytes_written'])
        self.assertEqual(CHUNK, result['bytes_zeroed'])

    def needs(self, work):
        """What the job's places need for the storage, job and worker."""
        self.patch(folder.FolderSource, 'memory', memory.Memory(1, 2))
        self.patch(descriptor.DescriptorTarget, 'memory', memory.Memory(4, 8))
        with mock.patch.object(places.Share, 'need') as need:
            work()
        need.assert_called_once()
        return need.call_args.args

    def test_memory_of_a_backup(self):
        self.assertEqual((1, 2), self.needs(self.back_up))

    def test_memory_of_a_restore_that_lists_what_changed(self):
        self.assertEqual((5, 0), self.needs(lambda: self.put_back(self.first)))

    def test_memory_of_a_restore_that_reads(self):
        lun = self.lun()
        for number, name in lun.snapshots().items():
            lun.drop_snapshot(production.Snapshot(number, name))
        self.assertEqual((4, 8), self.needs(lambda: self.put_back(self.first)))

    def test_memory_of_a_restore_that_only_writes(self):
        self.assertEqual((4, 0), self.needs(lambda: self.restored(self.first)))

    def test_chain_goes_on(self):
        self.put_back(self.first)
        image, result = self.back_up()
        self.assertEqual('named', result['changes'])
        self.assertLessEqual(result['bytes_read'], 4 * CHUNK)
        self.assertEqual(self.old, self.restored(image))
        self.put_back(self.second)
        self.assertEqual(self.new, self.content())

    def assert_compared(self, image, reason=None):
        result = self.put_back(image)
        self.assertEqual(self.old, self.content())
        self.assertEqual(SIZE, result['bytes_read'])
        self.assertEqual(
            None if reason is None else 'compared', result.get('changes')
        )
        self.assertIn(reason or '', result.get('changes_reason', ''))

    def test_anchor_is_gone(self):
        lun = self.lun()
        for number, name in lun.snapshots().items():
            lun.drop_snapshot(production.Snapshot(number, name))
        self.assert_compared(self.first, 'is gone')

    def test_volume_was_replaced(self):
        content = self.content()
        self.storage.make('volume', SIZE)
        self.write(0, content)
        self.assert_compared(self.first, 'replaced')

    def test_storage_says_impossible_things(self):
        truth = folder.FolderSource._list_all
        extent, data = production.Extent, production.ExtentKind.DATA

        def named(source):
            if source.gaps is production.ExtentKind.UNCHANGED:
                yield extent(CHUNK, CHUNK, data)
                yield extent(0, CHUNK, data)
            else:
                yield from truth(source)

        self.patch(folder.FolderSource, '_list_all', named)
        self.assert_compared(self.first, 'must be sorted')

    def test_no_anchor(self):
        images.delete(self.catalog, self.second.id)
        self.assert_compared(self.first)

    def test_storage_is_not_trusted(self):
        storages.update(self.catalog, self.conf, 'one', trust='shadow')
        self.assert_compared(self.first)

    def test_volume_was_emptied_behind_the_storages_back(self):
        """By Cinder, which opens a plain file before it asks for a restore."""
        truth = folder.FolderSource._list_all

        def unaware(source):
            if source.gaps is not production.ExtentKind.UNCHANGED:
                yield from truth(source)

        self.patch(folder.FolderSource, '_list_all', unaware)
        with open(self.path, 'wb'):
            pass
        self.assertRaises(
            errors.Refused,
            self.fixture.restore,
            *(self.first, self.volume_id),
            volume={**folder.volume('volume'), 'size': 512},
            volume_is_new=True,
        )
        os.truncate(self.path, SIZE)
        image, result = self.back_up()
        self.assertEqual('compared', result['changes'])
        self.assertEqual(bytes(SIZE), self.restored(image))

    def test_volume_has_grown(self):
        os.truncate(self.path, SIZE + 2 * CHUNK)
        tail = self.random.randbytes(2 * CHUNK)
        self.write(SIZE, tail)
        result = self.put_back(self.first)
        self.assertEqual(self.old + tail, self.content())
        self.assertEqual(0, result['bytes_read'])
