# SPDX-License-Identifier: Apache-2.0
import contextlib
import os

import fixtures
import sqlalchemy as sa

from ebackup_service.cmd import catalogs
from ebackup_service import conf as service_conf
from tests import base
from tests.unit.ebackup_service.cmd import base as cmd_base
from tests.unit.ebackup_service.server.catalog import base as catalog_base


class OpenedTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = service_conf.new()
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.conf.set_override('state_path', self.directory)
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def test_empty_catalog_is_not_ready(self):
        error = self.assertRaises(
            catalogs.NotReady, catalogs.opened, self.conf, self.stack
        )
        self.assertIn('ebackup-manage db sync', str(error))

    def test_empty_catalog_can_be_filled(self):
        catalog = catalogs.opened(self.conf, self.stack, may_be_empty=True)
        catalog.upgrade()
        catalogs.opened(self.conf, self.stack)

    def test_catalog_that_cannot_be_opened_is_named(self):
        self.conf.set_override('state_path', f'{self.directory}/missing')
        error = self.assertRaises(
            catalogs.NotReady, catalogs.opened, self.conf, self.stack
        )
        self.assertIn(f'{self.directory}/missing/ebackup.sqlite', str(error))
        self.assertIn('unable to open', str(error))

    def test_connection_that_is_no_url_is_said_to_be_wrong(self):
        for connection, what in (
            ('u:secret@h', '[database]connection cannot be opened'),
            ('cobol://u:secret@h/db', 'cobol://u:***@h/db cannot be opened'),
            ('mysql+no://u:secret@h/db', 'mysql+no://u:***@h/db cannot'),
        ):
            self.conf.set_override('connection', connection, group='database')
            error = self.assertRaises(
                catalogs.NotReady, catalogs.opened, self.conf, self.stack
            )
            self.assertIn(what, str(error))
            self.assertNotIn('secret', str(error))


class WritableTest(cmd_base.ProgramTestCase):
    def test_tables_are_made_if_wanted(self):
        os.mkdir(self.conf.state_path)
        self.assertRaises(
            catalogs.NotReady, catalogs.writable, self.conf, self.stack
        )
        catalogs.writable(self.conf, self.stack, make=True)
        catalogs.writable(self.conf, self.stack)

    def test_catalog_that_can_only_be_read_can_be_read(self):
        self.make_tables()
        self.forbid_writing()
        catalogs.opened(self.conf, self.stack)
        for make in (False, True):
            error = self.assertRaises(
                catalogs.NotReady,
                catalogs.writable,
                self.conf,
                self.stack,
                make=make,
            )
            self.assertRegex(
                str(error),
                r'ebackup.sqlite.* cannot be written to: .*readonly database; '
                r'check .* may write the file and its directory$',
            )


class MariaDbTest(catalog_base.MariaDbTestCase):
    """What a database server refuses an operator who made a mistake."""

    def setUp(self):
        super().setUp()
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        with self.catalog.engine.begin() as connection:
            for statement in (
                "CREATE USER reader IDENTIFIED BY 'secret'",
                'GRANT SELECT ON ebackup.* TO reader',
            ):
                connection.execute(sa.text(statement))
        self.addCleanup(self._drop)

    def _drop(self):
        with self.catalog.engine.begin() as connection:
            connection.execute(sa.text('DROP USER reader'))

    def _refused(self, **parts):
        """Open it with another URL; return what is said."""
        url = sa.engine.make_url(self.server.connection)
        url = url.set(**({'username': 'reader', 'password': 'secret'} | parts))
        self.fixture.conf.set_override(
            'connection',
            url.render_as_string(hide_password=False),
            group='database',
        )
        error = self.assertRaises(
            catalogs.NotReady, catalogs.writable, self.fixture.conf, self.stack
        )
        self.assertNotIn('secret', str(error))
        self.assertNotIn('\n', str(error))
        return str(error)

    def test_wrong_password(self):
        said = self._refused(password='secrets')
        self.assertRegex(said, 'reader.* cannot be opened: .*1045')

    def test_wrong_name_of_the_database(self):
        said = self._refused(database='backup')
        self.assertRegex(said, '/backup.* cannot be opened: .*1044')

    def test_user_who_may_only_read(self):
        said = self._refused()
        self.assertRegex(said, 'cannot be written to: .*1142.*check ')
