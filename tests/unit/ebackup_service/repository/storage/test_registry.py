# SPDX-License-Identifier: Apache-2.0
from unittest import mock

import fixtures
from stevedore import exception

from ebackup_service.repository.storage import nas
from ebackup_service.repository.storage import registry
from tests import base


class OpenStorageTestCase(base.BaseTestCase):
    def test_file_url_opens_a_directory(self):
        path = self.useFixture(fixtures.TempDir()).path

        storage = registry.open_storage(f'file://{path}')
        self.addCleanup(storage.close)

        self.assertIsInstance(storage, nas.NasStorage)

    def test_directory_is_made_if_asked_for(self):
        path = self.useFixture(fixtures.TempDir()).path

        storage = registry.open_storage(f'file://{path}/new', make=True)
        self.addCleanup(storage.close)

        self.assertEqual([], list(storage.list('')))

    def test_other_schemes_are_found_by_stevedore(self):
        driver = mock.Mock()
        with mock.patch('stevedore.DriverManager') as manager:
            manager.return_value.driver = driver
            storage = registry.open_storage('lto://drive/3')

        self.assertEqual('lto', manager.call_args.args[1])
        self.assertIs(driver.from_url.return_value, storage)

    def test_unknown_scheme_is_told(self):
        error = self.assertRaises(
            ValueError, registry.open_storage, 'gopher://host/path'
        )
        self.assertIn('gopher', str(error))
        self.assertIsInstance(error.__cause__, exception.NoMatches)
