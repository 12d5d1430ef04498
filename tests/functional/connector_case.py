# SPDX-License-Identifier: Apache-2.0
"""What the tests share in which Cinder exports volumes to the proxy."""

import pathlib

import fixtures

from tests.functional import base
from tests.functional import ebackup_case
from tests.functional import lab


Options = dict[str, dict[str, object]]


class Helper(fixtures.Fixture):
    """Lets the proxy attach volumes by os-brick.

    It runs as nobody in particular, and what attaches here needs no real root.

    :ivar options: more of the service's, by section
    :param cinder: options of Cinder's, where all of it is one service
    """

    def __init__(
        self, options: Options | None = None, cinder: Options | None = None
    ) -> None:
        super().__init__()
        self._lab = lab.current()
        program = self._lab.directory / 'venv/bin/privsep-helper'
        self.options: Options = {
            'proxy': {'privsep_helper': f'unshare --map-root-user {program}'}
        }
        for section, values in (options or {}).items():
            self.options.setdefault(section, {}).update(values)
        self._cinder = cinder

    def _setUp(self) -> None:
        self.addCleanup(self._apply)
        self.write()
        if self._cinder:
            self._write('cinder.d', self._cinder)
        self._apply()

    def write(self) -> None:
        """Write the options; they count from the next start on."""
        self._write('ebackup.d', self.options)

    def _write(self, directory: str, options: Options) -> None:
        lines = []
        for section, values in options.items():
            lines.append(f'[{section}]')
            lines += [f'{name} = {value}' for name, value in values.items()]
        file = self._lab.directory / 'etc' / directory / 'connector.conf'
        file.write_text('\n'.join([*lines, '']))
        self.addCleanup(file.unlink, missing_ok=True)

    def _apply(self) -> None:
        if self._cinder:
            self._lab.run('up')
        else:
            self._lab.run('restart', self._lab.service('ebackup-proxy'))


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
        """Neither in a log, nor in the service's files and catalog."""
        for file in self.lab.directory.glob('log/*.log'):
            self.assertNotIn(secret, file.read_text(errors='replace'), file)
        # Cinder may keep them in its own database.
        for directory in 'state/ebackup', 'state/mariadb/ebackup':
            for file in (self.lab.directory / directory).rglob('*'):
                if file.is_file():
                    self.assertNotIn(secret.encode(), file.read_bytes(), file)
