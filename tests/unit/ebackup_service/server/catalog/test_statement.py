# SPDX-License-Identifier: Apache-2.0

import sqlalchemy as sa

from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import statement
from tests.unit.ebackup_service.server.catalog import base


class Changed:
    def test_rows_are_counted_that_match_even_if_nothing_changes(self):
        for name in ('a', 'b'):
            self.fixture.make_repository(name)
        update = sa.update(models.Repository)
        with self.catalog.writer() as session:
            counts = [
                statement.changed(session, query)
                for query in (
                    update.values(state='available'),
                    update.values(state='error').where(
                        models.Repository.name == 'a'
                    ),
                    update.values(state='error').where(
                        models.Repository.name == 'c'
                    ),
                )
            ]
        self.assertEqual([2, 1, 0], counts)


class TestOnSqlite(Changed, base.SqliteTestCase):
    pass


class TestOnMariaDb(Changed, base.MariaDbTestCase):
    pass


class TestOnPostgreSql(Changed, base.PostgreSqlTestCase):
    pass
