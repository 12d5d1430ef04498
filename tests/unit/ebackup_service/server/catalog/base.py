# SPDX-License-Identifier: Apache-2.0
"""Runs a test case on each database that the service supports."""

import fixtures
import sqlalchemy as sa

from ebackup_service.server.catalog import models
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import databases


class SqliteTestCase(base.BaseTestCase):
    """``self.fixture`` is a catalog of the test's own."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog


class _ServerTestCase(base.BaseTestCase):
    """One database server for all tests of the class, one after the other."""

    SERVER: type[fixtures.Fixture]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.SERVER()
        try:
            cls.server.setUp()
        except fixtures.MultipleExceptions as error:
            raise error.args[0][1] from None
        cls.addClassCleanup(cls.server.cleanUp)

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(
            catalog_fixture.Catalog(connection=self.server.connection)
        )
        self.catalog = self.fixture.catalog
        self.addCleanup(self._empty)

    def _empty(self):
        with self.catalog.engine.begin() as connection:
            models.Base.metadata.drop_all(connection)
            connection.execute(sa.text('DROP TABLE alembic_version'))


class MariaDbTestCase(_ServerTestCase):
    SERVER = databases.MariaDb


class PostgreSqlTestCase(_ServerTestCase):
    SERVER = databases.PostgreSql
