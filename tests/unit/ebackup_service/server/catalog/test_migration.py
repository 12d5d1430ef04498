# SPDX-License-Identifier: Apache-2.0

from alembic import autogenerate
from alembic.runtime import migration as alembic_migration
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


class TestOnSqlite(Agreement, base.SqliteTestCase):
    def test_version_of_an_empty_database_is_none(self):
        self.assertIsNone(migration.version(sa.create_engine('sqlite://')))

    def test_refusals_of_storages_are_kept(self):
        engine = sa.create_engine('sqlite://')
        migration.upgrade(engine, '012')
        with engine.begin() as connection:
            for name, instants in ('a', '5, 2, 7'), ('b', 'NULL, 0, NULL'):
                connection.execute(
                    sa.text(
                        'INSERT INTO storages VALUES '
                        f"('{name}', '{name}', 'rbd', '[]', '{{}}', NULL, "
                        f"'trusted', 1, 0, 1, 1, {instants})"
                    )
                )
        migration.upgrade(engine)
        with engine.connect() as connection:
            found = connection.execute(sa.text('SELECT * FROM refusals'))
            self.assertEqual([('a', '', 5, 2, 7)], found.fetchall())
            found = connection.execute(sa.text('SELECT name FROM storages'))
            self.assertEqual([('a',), ('b',)], found.fetchall())


class TestOnMariaDb(Agreement, base.MariaDbTestCase):
    pass


class TestOnPostgreSql(Agreement, base.PostgreSqlTestCase):
    pass
