# SPDX-License-Identifier: Apache-2.0
"""The eBackup service itself, as a process of its own on loopback."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import bcrypt
import fixtures

HOST = 'backup-host'
# User names; each has its name as its password.
SERVICE = 'cinder'
ADMIN = 'operator'
READER = 'visitor'

_OPTIONS = """\
[DEFAULT]
state_path = {directory}/state
[api]
port = {port}
auth_strategy = http_basic
[http_basic]
users_file = {directory}/users
service_users = {SERVICE}
admin_users = {ADMIN}
# Nothing happens but what a test asks for.
[server]
gc_interval = 0
verify_interval = 0
[proxy]
host = {HOST}
attached_roots = {directory}/volumes
[repository]
url = file://{directory}/repository
minimum_free = 0
"""
_PROGRAM = 'import sys; from ebackup_service.cmd import all as program; '
_PROGRAM += 'sys.exit(program.main())'


class RealService(fixtures.Fixture):
    """url: where it listens; volumes: where it finds volumes

    Everything that it writes lies below directory.
    """

    def __init__(self, directory):
        super().__init__()
        self.directory = pathlib.Path(directory)
        self.volumes = self.directory / 'volumes'

    def _setUp(self):
        self.volumes.mkdir()
        with socket.create_server(('127.0.0.1', 0)) as unused:
            port = unused.getsockname()[1]
        self.url = f'http://127.0.0.1:{port}'
        options = self.directory / 'ebackup.conf'
        options.write_text(
            _OPTIONS.format(**globals(), directory=self.directory, port=port)
        )
        (self.directory / 'users').write_text(
            ''.join(map(_user, (SERVICE, ADMIN, READER)))
        )
        self._log = self.directory / 'log'
        with self._log.open('wb') as log:
            self._process = subprocess.Popen(
                [sys.executable, '-c', _PROGRAM, '--config-file', options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.addCleanup(self._stop)
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + 120
        while not self._answers():
            if self._process.poll() is not None or (
                time.monotonic() > deadline
            ):
                raise AssertionError(self._log.read_text())
            time.sleep(0.1)

    def _answers(self):
        try:
            with urllib.request.urlopen(f'{self.url}/healthcheck', timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _stop(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def sparse_volume(self, name, size, blocks=()):
        """Make a file of size bytes; blocks: (offset, content) in it."""
        path = self.volumes / name
        with path.open('wb') as stream:
            for offset, content in blocks:
                stream.seek(offset)
                stream.write(content)
            os.truncate(stream.fileno(), size)
        return path


def _user(name):
    # The cheapest hash: a real one would cost every request of the tests.
    password = bcrypt.hashpw(name.encode(), bcrypt.gensalt(4))
    return f'{name}:{password.decode()}\n'
