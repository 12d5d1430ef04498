# SPDX-License-Identifier: Apache-2.0
import datetime

from ebackup_service.api.views import repository
from ebackup_service.server import repositories
from tests.unit.ebackup_service.api import base


class RepositoryTest(base.CatalogTestCase):
    def _url(self, name, url):
        row, _job = repositories.create(self.catalog, name, url)
        return repository.show(row)['url']

    def test_urls_are_shown_without_credentials(self):
        for number, (url, shown) in enumerate(
            (
                ('file:///srv/backup', 'file:///srv/backup'),
                ('s3://k:s@host:9000/b?region=x', 's3://host:9000/b?region=x'),
                ('s3://k:p@ss@host/b', 's3://host/b'),
            )
        ):
            self.assertEqual(shown, self._url(f'r{number}', url))


class UsageTest(base.CatalogTestCase):
    def test_measurement_has_its_instant(self):
        moment = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
        self.assertEqual(
            {'used': 4, 'measured_at': '2026-11-23T00:00:00.000000Z'},
            repository.usage({'used': 4, 'measured_at': moment}),
        )
