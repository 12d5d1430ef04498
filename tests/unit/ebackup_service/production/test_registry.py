# SPDX-License-Identifier: Apache-2.0

from unittest import mock

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

    def test_kind_of_which_the_library_is_missing_is_not_usable(self):
        self.assertIn('attached', registry.usable())
        missing = errors.NotInstalled('no library')
        with mock.patch.object(
            attached.AttachedStorage, 'check_installed', side_effect=missing
        ):
            self.assertNotIn('attached', registry.usable())

    def test_unknown(self):
        error = self.assertRaises(
            errors.StorageUnknown, registry.open_storage, 'tape', conf.new()
        )
        self.assertIn("'tape'", str(error))
