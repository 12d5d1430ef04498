# SPDX-License-Identifier: Apache-2.0

import datetime
import time

import sqlalchemy as sa

from ebackup_service.server.catalog import clock
from tests.unit.ebackup_service.server.catalog import base


class Clock:
    def read(self):
        with self.catalog.reader() as session:
            return clock.read(session)

    def test_it_is_the_time_in_milliseconds(self):
        # the database runs on this host, so its clock is this host's
        before = time.time() * 1000
        now = self.read()
        self.assertGreaterEqual(now, before - 5)
        self.assertLessEqual(now, time.time() * 1000 + 5)

    def test_it_goes_on_within_a_transaction(self):
        with self.catalog.reader() as session:
            first = clock.read(session)
            while clock.read(session) == first:
                pass

    def test_it_can_be_calculated_with(self):
        with self.catalog.reader() as session:
            later = session.execute(
                sa.select(clock.now() + 60000 > clock.now())
            ).scalar_one()
        self.assertTrue(later)


class TestOnSqlite(Clock, base.SqliteTestCase):
    def test_instants_become_aware_and_come_back(self):
        now = self.read()
        instant = clock.instant(now)
        self.assertEqual(datetime.UTC, instant.tzinfo)
        self.assertEqual(now, clock.to_milliseconds(instant))

    def test_no_instant(self):
        self.assertIsNone(clock.instant(None))

    def test_seconds_become_whole_milliseconds(self):
        self.assertEqual(1500, clock.milliseconds(1.5))


class TestOnMariaDb(Clock, base.MariaDbTestCase):
    pass


class TestOnPostgreSql(Clock, base.PostgreSqlTestCase):
    pass
