# SPDX-License-Identifier: Apache-2.0
"""Production storages are registered, and nobody sees their credentials."""

import json
import os
from typing import Any

import fixtures

from tests.functional import base
from tests.functional import command_case

KEY = '0123456789abcdef' * 4
CREDENTIALS = {'psk_identity': 'ebackup', 'psk_key': KEY}
URI = 'nbd://127.0.0.1:10809/{name}'


class TestStorages(command_case.CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        state = self.lab.directory / 'state/ebackup'
        if (state / 'ebackup.sqlite').exists():
            # Made by itself when it is needed.
            self.keys = state / 'ebackup.keys'
        else:
            self.keys = state / 'keys'
            if not self.keys.exists():
                self.manage('storage', 'create-key')

    def _run(self, program: str, *arguments: Any) -> Any:
        answer = super()._run(program, *arguments)
        self.assertNotIn(KEY, json.dumps(answer))
        return answer

    def create(self) -> str:
        """Register a storage by REST; return its path."""
        name = base.unique('storage')
        storage = {'name': name, 'kind': 'nbd', 'settings': {'uri': URI}}
        storage |= {'backends': [f'lab@{name}'], 'credentials': CREDENTIALS}
        self.call('POST', '/v1/storages', storage=storage)
        self.addCleanup(self.service().delete, f'/v1/storages/{name}')
        return f'/v1/storages/{name}'

    def test_life_of_one_by_both_commands(self) -> None:
        directory = self.useFixture(fixtures.TempDir()).path
        credentials = os.path.join(directory, 'credentials')
        with open(credentials, 'w') as file:
            json.dump(CREDENTIALS, file)
        name = base.unique('storage')
        created = self.openstack(
            *('storage', 'create', name, 'nbd', '--setting', f'uri={URI}'),
            *('--backend', f'lab@{name}', '--trust', 'shadow'),
            *('--credentials', credentials),
        )
        self.assertEqual(
            ('nbd', [f'lab@{name}'], 'shadow', True),
            (
                created['kind'],
                created['backends'],
                created['trust'],
                created['has_credentials'],
            ),
        )
        shown = self.manage('storage', 'show', name)['storage']
        self.assertEqual(created, shown)
        self.manage('storage', 'set', name, '--trust', 'trusted')
        [row] = [
            row
            for row in self.openstack('storage', 'list')
            if row['Name'] == name
        ]
        self.assertEqual('trusted', row['Trust'])
        self.openstack('storage', 'delete', name)
        answer = self.service().get(f'/v1/storages/{name}')
        self.assertEqual(404, answer.status_code)

    def test_credentials_are_nowhere_in_clear_text(self) -> None:
        path = self.create()
        for status, changes in (
            (200, {'credentials': CREDENTIALS}),
            (400, {'credentials': {**CREDENTIALS, 'psk_key': [KEY]}}),
            (400, {'credentials': {'psk_key': KEY}}),
            (400, {'credentials': KEY}),
            (400, {'settings': {'uri': KEY}}),
            (400, {'colour': KEY}),
        ):
            answer = self.service().patch(path, json={'storage': changes})
            self.assertEqual(status, answer.status_code, answer.text)
            self.assertNotIn(KEY, answer.text)
        for service in 'ebackup-api', 'ebackup-server', 'ebackup-proxy':
            self.assertNotIn(KEY, self.log(service))
        for file in self.keys.parent.rglob('*'):
            if file.is_file():
                self.assertNotIn(KEY.encode(), file.read_bytes(), file)

    def test_keys_are_the_services_alone_and_can_be_replaced(self) -> None:
        self.create()
        status = self.keys.stat()
        self.assertEqual(0o600, status.st_mode & 0o777)
        self.assertEqual(self.keys.parent.stat().st_uid, status.st_uid)
        self.manage('storage', 'create-key')
        self.manage('storage', 'reencrypt')
        newest = self.keys.read_text().splitlines()[0]
        self.keys.write_text(newest)
        # What was encrypted by the API before can be read without the old key.
        done = self.manage('storage', 'reencrypt')
        self.assertLessEqual(1, done['credentials']['storages'])
        self.create()
