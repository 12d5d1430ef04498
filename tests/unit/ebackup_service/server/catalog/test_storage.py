# SPDX-License-Identifier: Apache-2.0
from ebackup_service.server.catalog import refusal
from ebackup_service.server.catalog import storage as storage_rows
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import base


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

    def test_refusals_are_by_host(self):
        storage_id = self.insert('a')
        self.insert('b')
        before = self.named('a')
        self.assertEqual({}, before.refusals)
        for host in 'one', refusal.EVERYWHERE:
            with self.catalog.writer() as session:
                refusal.note(
                    session, storage_id, before.updated_at, host, 1, 60.0
                )
        found = self.named('a').refusals
        self.assertEqual(['', 'one'], list(found))
        self.assertEqual({}, self.named('b').refusals)
        with self.catalog.reader() as session:
            self.assertEqual(
                [found, {}],
                [each.refusals for each in storage_rows.every(session)],
            )
            known = storage_rows.get(session, storage_id)
        self.assertEqual(found, known.refusals)

    def test_removed_one_is_gone(self):
        storage_id = self.insert('a')
        with self.catalog.writer() as session:
            storage_rows.remove(session, storage_id)
        self.assertIsNone(self.named('a'))

    def test_not_even_what_is_encrypted_is_shown(self):
        self.insert('a')
        self.assertNotIn('token', repr(self.named('a')))
