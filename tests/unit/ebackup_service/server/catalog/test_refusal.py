# SPDX-License-Identifier: Apache-2.0
import sqlalchemy as sa

from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import refusal
from ebackup_service.server.catalog import storage as storage_rows
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import base


class Refusals:
    def setUp(self):
        super().setUp()
        self.storage_id = catalog_fixture.new_id()
        with self.catalog.writer() as session:
            storage_rows.insert(
                session,
                id=self.storage_id,
                name='a',
                kind='rbd',
                backends=[],
                settings={},
                trust=storage_rows.TRUSTED,
                anchors=True,
                configured=False,
            )
        self.before = self.storage()

    def storage(self):
        with self.catalog.reader() as session:
            return storage_rows.get(session, self.storage_id)

    def known(self):
        with self.catalog.reader() as session:
            return refusal.by_storage(session).get(self.storage_id, {})

    def note(self, host='one', count=1, pause=60.0):
        with self.catalog.writer() as session:
            return refusal.note(
                session,
                self.storage_id,
                self.before.updated_at,
                host,
                count,
                pause,
            )

    def forget(self, *conditions):
        with self.catalog.writer() as session:
            refusal.forget(session, *conditions)

    def test_noted(self):
        self.assertEqual({}, self.known())
        self.assertTrue(self.note())
        known = self.known()
        self.assertEqual(['one'], list(known))
        found = known['one']
        self.assertEqual(1, found.count)
        self.assertEqual(60, (found.login_after - found.since).total_seconds())
        # It is as it was set all the same.
        self.assertEqual(self.before.updated_at, self.storage().updated_at)

    def test_another_one_is_since_the_first(self):
        self.note()
        first = self.known()['one']
        self.assertTrue(self.note(count=2, pause=120.0))
        found = self.known()['one']
        self.assertEqual((first.since, 2), (found.since, found.count))
        self.assertLess(first.login_after, found.login_after)

    def test_each_host_has_its_own(self):
        self.note('one')
        first = self.known()['one']
        self.note('two', count=2, pause=120.0)
        self.note(refusal.EVERYWHERE, count=3)
        found = self.known()
        self.assertEqual(first, found['one'])
        self.assertEqual(
            {'': 3, 'one': 1, 'two': 2},
            {host: each.count for host, each in found.items()},
        )

    def test_storage_that_was_changed_meanwhile(self):
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Storage).values(
                    updated_at=models.Storage.updated_at + 1
                )
            )
        self.assertFalse(self.note())
        self.assertEqual({}, self.known())

    def test_storage_that_is_gone(self):
        with self.catalog.writer() as session:
            storage_rows.remove(session, self.storage_id)
        self.assertFalse(self.note())

    def test_some_are_forgotten(self):
        for host in 'one', 'two':
            self.note(host)
        self.forget(models.Refusal.host == 'one')
        self.assertEqual(['two'], list(self.known()))
        self.forget(models.Refusal.storage_id == self.storage_id)
        self.assertEqual({}, self.known())


class TestOnSqlite(Refusals, base.SqliteTestCase):
    pass


class TestOnMariaDb(Refusals, base.MariaDbTestCase):
    pass


class TestOnPostgreSql(Refusals, base.PostgreSqlTestCase):
    pass
