# SPDX-License-Identifier: Apache-2.0
"""A configuration in a directory of its own, for the tests beside it."""

import contextlib
import os
import re
import time

import bcrypt
import fixtures
import requests

from ebackup_service.cmd import catalogs
from ebackup_service import conf as service_conf
from tests import base

OPTIONS = """\
[DEFAULT]
state_path = {directory}/state
transport_url = fake://
[api]
port = 0
auth_strategy = http_basic
[http_basic]
users_file = {directory}/users
admin_users = root
[repository]
url = file://{directory}/repository
[server]
tick = 0.1
[proxy]
announce_interval = 0.1
shutdown_timeout = 5
"""


class ProgramTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.directory, 'ebackup.conf')
        with open(self.path, 'w') as options:
            options.write(OPTIONS.format(directory=self.directory))
        digest = bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()
        with open(os.path.join(self.directory, 'users'), 'w') as users:
            users.write(f'root:{digest}\n')
        self.conf = service_conf.new([self.path])
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def make_tables(self):
        os.mkdir(self.conf.state_path)
        with contextlib.ExitStack() as stack:
            catalogs.opened(self.conf, stack, may_be_empty=True).upgrade()

    def enable_storage(self, settings):
        """Let the configuration name a storage that is set like this."""
        with open(self.path) as options:
            text = options.read()
        server = '[server]\nenabled_storages = ceph1'
        text = text.replace('[server]', server)
        section = f'[ceph1]\nkind = played\nkey = secret\n{settings}\n'
        with open(self.path, 'w') as options:
            options.write(text + section)
        self.conf = service_conf.new([self.path])

    def forbid_writing(self):
        """Let the catalog be one that can only be read, even by root."""
        path = f'{self.conf.state_path}/ebackup.sqlite'
        self.conf.set_override(
            'connection',
            f'sqlite:///file:{path}?mode=ro&uri=true',
            group='database',
        )

    def port(self, text):
        """Return the port that a program says it listens on."""
        return int(re.search(r'Listening on \S+ port (\d+)', text)[1])

    def wait_for(self, found):
        """Wait until a function finds something; return it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            result = found()
            if result:
                return result
            time.sleep(0.02)
        self.fail('what was waited for did not come')

    def get(self, port, path):
        """Ask the API as an administrator; return the JSON."""
        response = requests.get(
            f'http://127.0.0.1:{port}{path}',
            auth=('root', 'secret'),
            timeout=30,
        )
        self.assertEqual(200, response.status_code, response.text)
        return response.json()
