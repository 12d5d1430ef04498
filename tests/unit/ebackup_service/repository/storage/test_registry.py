# SPDX-License-Identifier: Apache-2.0
from unittest import mock

import fixtures
from stevedore import exception

from ebackup_service.repository import errors
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
            errors.InvalidUrl, registry.open_storage, 'gopher://host/path'
        )
        self.assertIn('gopher', str(error))
        self.assertIsInstance(error.__cause__, exception.NoMatches)


class InvalidUrlTestCase(base.BaseTestCase):
    def refused(self, url):
        """Return what both say."""
        said = {
            str(self.assertRaises(errors.InvalidUrl, function, url))
            for function in (registry.check_url, registry.open_storage)
        }
        self.assertEqual(1, len(said))
        return said.pop()

    def test_unknown_scheme(self):
        self.assertIn("No storage for 's3'", self.refused('s3://bucket'))

    def test_host_of_a_file(self):
        self.assertIn('a host', self.refused('file://host/path'))

    def test_malformed(self):
        self.assertIn('malformed', self.refused('file://[host/path'))

    def test_secrets_are_not_repeated(self):
        for url in (
            'file://user:sekret@host/path',
            's3://user:sekret@bucket',
            's3://user:p@sekret@bucket',
            's3://user:sekret\N{CARE OF}@bucket',  # normalised to c/o
            'file://user:sekret@[host/path',
            'file:///path?password=sekret',
        ):
            said = self.refused(url)
            self.assertNotIn('sekret', said)
            self.assertLess(len(said), 255)

    def test_scheme_may_be_long(self):
        self.assertLess(len(self.refused(f'{"s" * 1000}://host')), 255)


class CheckUrlTestCase(base.BaseTestCase):
    def test_place_need_not_be_there(self):
        registry.check_url('file:///none/of/ours')

    def test_other_schemes_are_looked_up_but_not_loaded(self):
        with mock.patch('importlib.metadata.entry_points') as found:
            registry.check_url('lto://drive/3')

        found.assert_called_once_with(group=registry.NAMESPACE, name='lto')
