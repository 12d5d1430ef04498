# SPDX-License-Identifier: Apache-2.0

from ebackup_service import conf
from ebackup_service.production import attached
from ebackup_service.production import errors
from ebackup_service.production import registry
from tests import base


class OpenStorageTest(base.BaseTestCase):
    def test_attached(self):
        storage = registry.open_storage('attached', conf.new())
        self.assertIsInstance(storage, attached.AttachedStorage)
        self.assertTrue(storage.capabilities.allocated_extents)

    def test_attached_needs_no_registration(self):
        found = registry.storage_class('attached')
        self.assertIs(attached.AttachedStorage, found)
        self.assertIsNone(found.SETTINGS)

    def test_unknown(self):
        error = self.assertRaises(
            errors.StorageUnknown, registry.open_storage, 'tape', conf.new()
        )
        self.assertIn("'tape'", str(error))
