# SPDX-License-Identifier: Apache-2.0
import dataclasses
import datetime

from ebackup_service.api.views import repository
from ebackup_service.server import repositories
from tests.unit.ebackup_service.api import base


class RepositoryTest(base.CatalogTestCase):
    def test_urls_are_shown_without_credentials(self):
        """Such are refused now, and there may be some from before."""
        row, _job = repositories.create(self.catalog, 'r', 'file:///r')
        for url, shown in (
            ('file:///srv/backup', 'file:///srv/backup'),
            ('s3://k:s@host:9000/b?region=x', 's3://host:9000/b?region=x'),
            ('s3://k:p@ss@host/b', 's3://host/b'),
        ):
            found = repository.show(dataclasses.replace(row, url=url))
            self.assertEqual(shown, found['url'])


class VerificationTest(base.CatalogTestCase):
    def verification(self, **found):
        row, _job = repositories.create(self.catalog, 'r', 'file:///r')
        row = dataclasses.replace(row, verification=found)
        return repository.show(row)['verification']

    def test_nothing_was_verified(self):
        self.assertEqual(
            {
                'percent': 0,
                'round_began_at': None,
                'complete_since': None,
                'verified_at': None,
            },
            self.verification(),
        )

    def test_second_round(self):
        self.assertEqual(
            {
                'percent': 25,
                'round_began_at': '2026-11-23T00:00:00.000000Z',
                'complete_since': '1970-01-01T00:00:00.000000Z',
                'verified_at': '2026-11-23T00:00:01.000000Z',
            },
            self.verification(
                position=2**30,
                began=1795392000000,
                complete=0,
                last=1795392001000,
            ),
        )


class UsageTest(base.CatalogTestCase):
    def test_measurement_has_its_instant(self):
        moment = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
        self.assertEqual(
            {'used': 4, 'measured_at': '2026-11-23T00:00:00.000000Z'},
            repository.usage({'used': 4, 'measured_at': moment}),
        )
