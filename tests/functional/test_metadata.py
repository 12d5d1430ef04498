# SPDX-License-Identifier: Apache-2.0
"""What makes a restored volume more than its bytes."""

from openstack import exceptions as sdk_errors

from tests.functional import ebackup_case


class MetadataTestCase(ebackup_case.EBackupTestCase):
    def test_name_description_and_metadata_of_the_volume_come_back(self):
        storage = self.demo.block_storage
        volume = self.create_volume(
            metadata={'tier': 'gold'}, description='of the shop'
        )
        backup = self.backup(volume)
        # Cinder names a volume after its backup where nobody else does, and
        # only then the old name is put back.
        answer = storage.post(
            f'/backups/{backup}/restore', json={'restore': {}}
        )
        sdk_errors.raise_from_response(answer)
        restored = answer.json()['restore']['volume_id']
        self.addCleanup(self._remove_volume, restored)
        self.wait_for_backup(backup, 'available')
        self.wait_for_status(storage.get_volume, restored, 'available')
        before, after = map(storage.get_volume, (volume, restored))
        self.assertEqual('gold', after.metadata['tier'])
        self.assertEqual(before.name, after.name)
        self.assertEqual('of the shop', after.description)

    def test_name_that_was_asked_for_stays(self):
        storage = self.demo.block_storage
        volume = self.create_volume()
        restored = storage.get_volume(self.restore(self.backup(volume)))
        self.assertTrue(restored.name.startswith('restored-'))
