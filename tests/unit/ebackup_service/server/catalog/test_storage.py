# SPDX-License-Identifier: Apache-2.0
import sqlalchemy as sa

from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import storage as storage_rows
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import base


def shown(storage):
    return storage.refused_since, storage.refusals, storage.login_after


class TestStorage(base.SqliteTestCase):
    def insert(self, name, **values):
        storage_id = catalog_fixture.new_id()
        with self.catalog.writer() as session:
            storage_rows.insert(
                session,
                **{
                    'id': storage_id,
                    'name': name,
                    'kind': 'rbd',
                    'backends': ['node@one'],
                    'settings': {'pool': 'volumes'},
                    'credentials': 'token',
                    'trust': storage_rows.TRUSTED,
                    'anchors': True,
                    'configured': False,
                    **values,
                },
            )
        return storage_id

    def named(self, name):
        with self.catalog.reader() as session:
            return storage_rows.named(session, name)

    def test_row_by_name(self):
        self.insert('a', anchors=False)
        found = self.named('a')
        self.assertEqual(
            (['node@one'], {'pool': 'volumes'}, 'token', False),
            (
                found.backends,
                found.settings,
                found.credentials,
                found.anchors,
            ),
        )
        self.assertEqual(found.created_at, found.updated_at)
        self.assertIsNone(self.named('b'))

    def test_every_by_name(self):
        for name in 'b', 'a':
            self.insert(name)
        with self.catalog.reader() as session:
            found = storage_rows.every(session)
        self.assertEqual(['a', 'b'], [each.name for each in found])

    def test_update_leaves_the_rest(self):
        storage_id = self.insert('a')
        with self.catalog.writer() as session:
            storage_rows.update(session, storage_id, credentials=None)
        found = self.named('a')
        self.assertIsNone(found.credentials)
        self.assertEqual(['node@one'], found.backends)
        self.assertGreaterEqual(found.updated_at, found.created_at)

    def refuse(self, storage, count=1, pause=60.0):
        with self.catalog.writer() as session:
            return storage_rows.refused(session, storage, count, pause)

    def test_refusal(self):
        self.insert('a')
        self.insert('b')
        before = self.named('a')
        self.assertEqual((None, 0, None), shown(before))
        self.assertTrue(self.refuse(before))
        found = self.named('a')
        self.assertEqual(1, found.refusals)
        self.assertEqual(
            60, (found.login_after - found.refused_since).total_seconds()
        )
        # It is as it was set all the same.
        self.assertEqual(before.updated_at, found.updated_at)
        self.assertEqual((None, 0, None), shown(self.named('b')))

    def test_another_refusal_is_since_the_first_one(self):
        self.insert('a')
        self.refuse(self.named('a'))
        first = self.named('a')
        self.assertTrue(self.refuse(first, 2, 120.0))
        found = self.named('a')
        self.assertEqual(
            (first.refused_since, 2), (found.refused_since, found.refusals)
        )
        self.assertLess(first.login_after, found.login_after)

    def test_refusal_of_one_that_was_changed_meanwhile_is_not_noted(self):
        storage_id = self.insert('a')
        before = self.named('a')
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Storage)
                .where(models.Storage.id == storage_id)
                .values(updated_at=models.Storage.updated_at + 1)
            )
        self.assertFalse(self.refuse(before))
        self.assertEqual((None, 0, None), shown(self.named('a')))

    def test_login(self):
        storage_id = self.insert('a')
        self.refuse(self.named('a'))
        with self.catalog.writer() as session:
            storage_rows.admitted(session, storage_id)
        self.assertEqual((None, 0, None), shown(self.named('a')))

    def test_removed_one_is_gone(self):
        storage_id = self.insert('a')
        with self.catalog.writer() as session:
            storage_rows.remove(session, storage_id)
        self.assertIsNone(self.named('a'))

    def test_not_even_what_is_encrypted_is_shown(self):
        self.insert('a')
        self.assertNotIn('token', repr(self.named('a')))
