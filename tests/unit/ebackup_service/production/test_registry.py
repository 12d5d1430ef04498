# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from ebackup_service import conf
from ebackup_service.production import attached
from ebackup_service.production import errors
from ebackup_service.production import registry


class OpenStorageTest(base.BaseTestCase):
    def test_attached(self):
        storage = registry.open_storage('attached', conf.new())
        self.assertIsInstance(storage, attached.AttachedStorage)
        self.assertTrue(storage.capabilities.allocated_extents)

    def test_unknown(self):
        error = self.assertRaises(
            errors.StorageUnknown, registry.open_storage, 'tape', conf.new()
        )
        self.assertIn("'tape'", str(error))
