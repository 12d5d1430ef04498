# SPDX-License-Identifier: Apache-2.0
"""What the tests share in which Cinder exports volumes to the proxy."""

import functools
import pathlib

import fixtures

from tests.functional import base
from tests.functional import ebackup_case
from tests.functional import lab


class Helper(fixtures.Fixture):
    """Lets the proxy attach volumes by os-brick.

    It runs as nobody in particular, and what attaches here needs no real root.

    options: more of the service's, by section
    """

    def __init__(self, options: dict[str, dict[str, object]] | None = None):
        super().__init__()
        program = lab.current().directory / 'venv/bin/privsep-helper'
        self._options: dict[str, dict[str, object]] = {
            'proxy': {'privsep_helper': f'unshare --map-root-user {program}'}
        }
        for section, values in (options or {}).items():
            self._options.setdefault(section, {}).update(values)

    def _setUp(self) -> None:
        current = lab.current()
        file = current.directory / 'etc/ebackup.d/connector.conf'
        lines = []
        for section, values in self._options.items():
            lines.append(f'[{section}]')
            lines += [f'{name} = {value}' for name, value in values.items()]
        file.write_text('\n'.join([*lines, '']))
        restart = functools.partial(
            current.run, 'restart', current.service('ebackup-proxy')
        )
        self.addCleanup(restart)
        self.addCleanup(file.unlink)
        restart()


class ConnectorCase(ebackup_case.EBackupTestCase):
    """A back end is registered as storage of kind connector, no other one is.

    Mixed in before whatever makes the volumes.
    """

    BACK_END = 'block'
    # How os-brick calls its connector.
    PROTOCOL = 'local'

    def setUp(self) -> None:
        super().setUp()
        self.wait_for(self.announced, 'the proxy attaches by os-brick')
        self.take_back_end()
        name = base.unique('connector')
        self.call(
            'POST',
            '/v1/storages',
            storage={
                'name': name,
                'kind': 'connector',
                'settings': {},
                'backends': [self._back_end],
            },
        )
        self.addCleanup(self.unregister, name)
        self.attached = self.attachments()

    @property
    def _back_end(self) -> str:
        return f'lab@{self.BACK_END}'

    def announced(self) -> bool:
        proxies = self.call('GET', '/v1/proxies')['proxies']
        return any(
            'connector' in proxy['capabilities']['production']
            for proxy in proxies
            if proxy['alive']
        )

    def take_back_end(self) -> None:
        """From the storage that it is registered for, which gets it back."""
        for storage in self.call('GET', '/v1/storages')['storages']:
            backends = storage['backends']
            if self._back_end in backends:
                path = f'/v1/storages/{storage["name"]}'
                others = [each for each in backends if each != self._back_end]
                self.addCleanup(self.patch, path, backends)
                self.patch(path, others)

    def patch(self, path: str, backends: list[str]) -> None:
        self.call('PATCH', path, storage={'backends': backends})

    def unregister(self, name: str) -> None:
        def gone() -> bool:
            # Until the last job of its volumes has ended.
            answer = self.service().delete(f'/v1/storages/{name}')
            return answer.status_code in (204, 404)

        self.wait_for(gone, f'{name} is not registered any more')

    def attachments(self) -> int:
        """How often the proxy has attached a volume by os-brick."""
        message = f'Attached a volume by {self.PROTOCOL}'
        return self.log('ebackup-proxy').count(message)

    def records(self) -> list[pathlib.Path]:
        directory = self.lab.directory / 'state/ebackup/attached'
        return list(directory.glob('*'))

    def assert_attached(self, times: int) -> None:
        """So often since the test began, and not any more."""
        self.assertEqual([], self.records())
        self.assertEqual(self.attached + times, self.attachments())

    def assert_nowhere(self, secret: str) -> None:
        """Neither in a log of the service's, nor in its files and catalog."""
        for service in 'ebackup-api', 'ebackup-server', 'ebackup-proxy':
            self.assertNotIn(secret, self.log(service))
        # Cinder may keep them in its own database.
        for directory in 'state/ebackup', 'state/mariadb/ebackup':
            for file in (self.lab.directory / directory).rglob('*'):
                if file.is_file():
                    self.assertNotIn(secret.encode(), file.read_bytes(), file)
