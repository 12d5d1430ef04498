# SPDX-License-Identifier: Apache-2.0
import sqlalchemy as sa

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import connection
from ebackup_service.server.catalog import future
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import refusal
from ebackup_service.server.catalog import storage as storage_rows
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import base

HOUR = 3600 * 1000
MINUTE = 60 * 1000
PAST = (
    models.Job.beat_at,
    models.Repository.collected_at,
    models.Proxy.announced_at,
    models.Storage.updated_at,
    models.Refusal.since,
    models.Connection.ending_at,
)


class Future:
    def setUp(self):
        super().setUp()
        self.fixture.make_repository()
        _, job = self.fixture.reserve()
        self.job_id = job.id
        self.fixture.run(job.id)
        export = connection.Connection(
            job_id=job.id,
            volume_id=job.volume_id,
            exported_type='volume',
            exported_id=job.volume_id,
            proxy='here',
            connector={},
        )
        storage_id = catalog_fixture.new_id()
        with self.catalog.writer() as session:
            storage_rows.insert(
                session,
                id=storage_id,
                name='a',
                kind='rbd',
                backends=[],
                settings={},
                trust=storage_rows.TRUSTED,
                anchors=True,
                configured=False,
            )
            connection.insert(session, export)
            storage = storage_rows.get(session, storage_id)
            refusal.note(session, storage_id, storage.updated_at, 'a', 1, 0.0)

    def shift(self, column, by):
        with self.catalog.writer() as session:
            session.execute(
                sa.update(column.class_).values({column: clock.now() + by})
            )

    def ahead(self, column):
        """How far an instant is ahead, in minutes."""
        with self.catalog.reader() as session:
            value = session.scalars(sa.select(column)).one()
            return round((value - clock.read(session)) / MINUTE)

    def bring_back(self):
        with self.catalog.writer() as session:
            found = future.beyond(session, MINUTE, HOUR)
            future.bring_back(session, MINUTE, HOUR)
        return found

    def test_what_is_past_is_now(self):
        for column in (*PAST, models.Job.ready_at):
            self.shift(column, HOUR)
            self.assertTrue(self.bring_back(), column)
            self.assertEqual(0, self.ahead(column), column)

    def test_what_is_past_is_never_ahead(self):
        for column in PAST:
            self.shift(column, MINUTE - 1000)
            self.assertTrue(self.bring_back(), column)
            self.assertEqual(0, self.ahead(column), column)

    def test_what_was_noted_just_now_stays(self):
        for column in PAST:
            self.shift(column, 900)
            self.assertFalse(self.bring_back(), column)

    def test_what_is_to_come_comes_soon(self):
        for column in models.Job.lease_until, models.Repository.collect_after:
            self.shift(column, HOUR)
            self.assertTrue(self.bring_back(), column)
            self.assertEqual(1, self.ahead(column), column)

    def test_what_was_noted_just_now_for_as_long_as_may_be_stays(self):
        self.shift(models.Refusal.login_after, HOUR + 900)
        self.assertFalse(self.bring_back())

    def test_what_is_far_ahead_is_no_further_than_it_may_be(self):
        self.shift(models.Refusal.login_after, HOUR - 1000)
        self.assertFalse(self.bring_back())
        self.shift(models.Refusal.login_after, 2 * HOUR)
        self.assertTrue(self.bring_back())
        self.assertEqual(60, self.ahead(models.Refusal.login_after))

    def test_what_comes_soon_stays(self):
        self.assertFalse(self.bring_back())
        self.shift(models.Job.ready_at, MINUTE - 1000)
        self.assertFalse(self.bring_back())
        self.shift(models.Job.beat_at, -HOUR)
        self.assertFalse(self.bring_back())
        self.assertEqual(-60, self.ahead(models.Job.beat_at))

    def test_jobs_that_have_ended_do_not_matter(self):
        self.shift(models.Job.beat_at, HOUR)
        with self.catalog.writer() as session:
            session.execute(sa.update(models.Job).values(state='failed'))
        self.assertFalse(self.bring_back())
        self.assertEqual(60, self.ahead(models.Job.beat_at))


class TestOnSqlite(Future, base.SqliteTestCase):
    pass


class TestOnMariaDb(Future, base.MariaDbTestCase):
    pass


class TestOnPostgreSql(Future, base.PostgreSqlTestCase):
    pass
