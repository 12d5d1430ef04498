# SPDX-License-Identifier: Apache-2.0
"""Database servers of a test's own, where their programs are installed."""

import getpass
import importlib.util
import os
import pwd
import shutil
import subprocess

import fixtures
import sqlalchemy as sa

from tests import environment
from tests.unit.ebackup_service import catalog_fixture

_NAME = 'ebackup'


def _program(*names: str) -> str:
    for name in names:
        path = shutil.which(name, path=f'{os.environ["PATH"]}:/usr/sbin')
        if path is not None:
            return path
    environment.lacks(f'{names[0]} is not installed')


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        environment.lacks(f'there is no user {name}')


class _Server(fixtures.Fixture):
    """A process that ends with the test; ``connection`` is its URL."""

    connection: str

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
        )
        if done.returncode:
            raise AssertionError(f'{command[0]} failed:\n{done.stdout}')

    def _start(self, *command: str) -> None:
        log = open(f'{self.directory}/log', 'wb')
        self.addCleanup(log.close)
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.directory
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    def _create(self, url: str, statement: str) -> None:
        engine = sa.create_engine(url, isolation_level='AUTOCOMMIT')
        self.addCleanup(engine.dispose)

        def created() -> bool:
            try:
                with engine.connect() as connection:
                    connection.execute(sa.text(statement))
            except sa.exc.OperationalError:
                return False
            return True

        catalog_fixture.wait_for(created, 'database server', 60)


class MariaDb(_Server):
    def __init__(self) -> None:
        super().__init__()
        self._install = _program('mariadb-install-db')
        self._server = _program('mariadbd')

    def _setUp(self) -> None:
        self.directory = self.useFixture(fixtures.TempDir()).path
        data, socket = f'{self.directory}/data', f'{self.directory}/socket'
        user = getpass.getuser()
        # A server that starts removes all temporary tables that it finds here,
        # whosever they are.
        temporary = f'{self.directory}/tmp'
        os.mkdir(temporary)
        self._run(
            self._install,
            '--no-defaults',
            '--skip-test-db',
            '--auth-root-authentication-method=normal',
            f'--datadir={data}',
            f'--tmpdir={temporary}',
            f'--user={user}',
        )
        self._start(
            self._server,
            '--no-defaults',
            '--skip-networking',
            '--innodb-flush-log-at-trx-commit=0',
            '--innodb-buffer-pool-size=16M',
            f'--datadir={data}',
            f'--tmpdir={temporary}',
            f'--socket={socket}',
            f'--user={user}',
        )
        base = 'mysql+pymysql://root@localhost'
        self._create(
            f'{base}/?unix_socket={socket}', f'CREATE DATABASE {_NAME}'
        )
        self.connection = f'{base}/{_NAME}?unix_socket={socket}'


class PostgreSql(_Server):
    def __init__(self) -> None:
        super().__init__()
        if importlib.util.find_spec('psycopg2') is None:
            environment.lacks('psycopg2 is not installed')
        self._initdb = _program('initdb')
        self._server = _program('postgres')
        self._user = None
        if os.geteuid() == 0:
            # Which PostgreSQL refuses to run as.
            self._setpriv = _program('setpriv')
            self._user = _user('postgres')

    def _setUp(self) -> None:
        self.directory = self.useFixture(fixtures.TempDir()).path
        become = self._become()
        data = f'{self.directory}/data'
        options = ('-D', data, '-U', _NAME, '-A', 'trust')
        self._run(*become, self._initdb, *options)
        self._start(
            *become,
            self._server,
            *('-D', data, '-k', self.directory),
            *('-c', 'listen_addresses='),
            *('-c', 'fsync=off'),
        )
        base = f'postgresql+psycopg2://{_NAME}@'
        where = f'host={self.directory}'
        self._create(f'{base}/postgres?{where}', f'CREATE DATABASE {_NAME}')
        self.connection = f'{base}/{_NAME}?{where}'

    def _become(self) -> list[str]:
        """What a command begins with to be run by another user than root."""
        if self._user is None:
            return []
        os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        return [
            self._setpriv,
            f'--reuid={self._user.pw_uid}',
            f'--regid={self._user.pw_gid}',
            '--clear-groups',
        ]
