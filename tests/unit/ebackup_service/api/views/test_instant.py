# SPDX-License-Identifier: Apache-2.0
import datetime

from ebackup_service.api.views import instant
from tests import base


class TextTest(base.BaseTestCase):
    def test_other_zones_become_utc(self):
        zone = datetime.timezone(datetime.timedelta(hours=2))
        moment = datetime.datetime(2026, 11, 23, 14, 0, 0, 5000, zone)
        self.assertEqual('2026-11-23T12:00:00.005000Z', instant.text(moment))

    def test_none_stays_none(self):
        self.assertIsNone(instant.text(None))
