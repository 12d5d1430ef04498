# SPDX-License-Identifier: Apache-2.0

from alembic import autogenerate
from alembic.runtime import migration as alembic_migration
from oslo_db import exception as db_exception
import sqlalchemy as sa

from ebackup_service.server.catalog import migration
from ebackup_service.server.catalog import models
from tests.unit.ebackup_service.server.catalog import base

NEWEST = '014'


class Agreement:
    def test_tables_made_by_migrations_are_those_of_the_models(self):
        with self.catalog.engine.connect() as connection:
            context = alembic_migration.MigrationContext.configure(
                connection, opts={'compare_type': True}
            )
            differences = autogenerate.compare_metadata(
                context, models.Base.metadata
            )
        self.assertEqual([], differences)

    def test_version_is_the_newest(self):
        self.assertEqual(NEWEST, self.catalog.version())

    def test_upgrade_may_be_repeated(self):
        self.catalog.upgrade()
        self.assertEqual(NEWEST, self.catalog.version())

    def test_refusals_of_storages_are_kept(self):
        self.go_back('012')
        self.insert('repositories', {'id': 'r'})
        self.insert('chains', {'id': 1, 'repository_id': 'r'})
        self.insert(
            'storages',
            {'id': 'a', 'refused_since': 5, 'refusals': 2, 'login_after': 7},
        )
        self.insert('storages', {'id': 'b'})
        self.insert(
            'snapshots',
            {'storage_id': 'a', 'repository_id': 'r', 'chain_id': 1},
        )
        self.catalog.upgrade()
        self.assertEqual([('a', '', 5, 2, 7)], self.rows('refusals'))
        self.assertEqual([('a',), ('b',)], self.rows('storages', 'id'))
        self.assertEqual([('a',)], self.rows('snapshots', 'storage_id'))
        # What others refer to is so still.
        for table in 'refusals', 'snapshots':
            self.assertRaises(
                db_exception.DBReferenceError, self.delete, 'storages'
            )
            self.delete(table)

    def go_back(self, revision):
        """To the tables of an earlier version, without rows."""
        with self.catalog.engine.begin() as connection:
            models.Base.metadata.drop_all(connection)
            connection.execute(sa.text('DROP TABLE alembic_version'))
        migration.upgrade(self.catalog.engine, revision)

    def insert(self, name, values):
        """One row; what else has to be in it is empty."""
        with self.catalog.engine.begin() as connection:
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            empty = {
                column.name: column.type.python_type()
                for column in table.columns
                if not column.nullable and column.server_default is None
            }
            if 'name' in table.c and 'id' in values:
                empty['name'] = values['id']
            connection.execute(table.insert().values({**empty, **values}))

    def delete(self, name):
        with self.catalog.engine.begin() as connection:
            connection.execute(sa.text(f'DELETE FROM {name}'))

    def rows(self, name, *columns):
        shown = ', '.join(columns) or '*'
        query = sa.text(f'SELECT {shown} FROM {name} ORDER BY 1')
        with self.catalog.engine.connect() as connection:
            return connection.execute(query).fetchall()


class TestOnSqlite(Agreement, base.SqliteTestCase):
    def test_version_of_an_empty_database_is_none(self):
        self.assertIsNone(migration.version(sa.create_engine('sqlite://')))

    def test_references_are_enforced_as_before(self):
        # It has one connection, which is used again.
        engine = sa.create_engine('sqlite://')
        for enforced in 0, 1:
            with engine.connect() as connection:
                cursor = connection.connection.cursor()
                cursor.execute(f'PRAGMA foreign_keys = {enforced}')
            migration.upgrade(engine)
            with engine.connect() as connection:
                found = connection.execute(sa.text('PRAGMA foreign_keys'))
                self.assertEqual(enforced, found.scalar())


class TestOnMariaDb(Agreement, base.MariaDbTestCase):
    pass


class TestOnPostgreSql(Agreement, base.PostgreSqlTestCase):
    pass
