# SPDX-License-Identifier: Apache-2.0
"""What makes a restored volume more than its bytes."""

import os

from tests.functional import base
from tests.functional import ebackup_case


class MetadataTestCase(ebackup_case.EBackupTestCase):
    def test_restored_boot_volume_is_bootable(self):
        volume = self.create_volume()
        self.write(volume, 0, os.urandom(base.MIB))
        storage = self.demo.block_storage
        storage.set_volume_bootable_status(volume, True)
        storage.post(
            f'/volumes/{volume}/action',
            json={
                'os-set_image_metadata': {
                    'metadata': {'hw_disk_bus': 'scsi', 'os_type': 'linux'}
                }
            },
        )
        restored = storage.get_volume(self.restore(self.backup(volume)))
        self.assertTrue(restored.is_bootable)
        self.assertEqual('scsi', restored.volume_image_metadata['hw_disk_bus'])

    def test_names_and_metadata_of_the_volume_come_back(self):
        volume = self.create_volume(metadata={'tier': 'gold'})
        restored = self.demo.block_storage.get_volume(
            self.restore(self.backup(volume))
        )
        self.assertEqual('gold', restored.metadata['tier'])
