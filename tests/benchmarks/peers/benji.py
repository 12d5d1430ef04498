# SPDX-License-Identifier: Apache-2.0
"""benji: blocks of 4 MiB, rows of a database, zstd level 1.

Its last release asks for a ruamel.yaml that today's Pythons can't build, so it
is installed without its dependencies, and those of benji.txt beside it.
"""

import json
import pathlib
import shutil
import subprocess
import sys

from tests.benchmarks.peers import base
from tests.benchmarks import process

VERSION = '0.17.0'
_REQUIREMENTS = pathlib.Path(__file__).with_name('benji.txt')


class Benji:
    name = 'benji'
    options = 'blockSize 4194304, zstd level 1, 2 readers and 2 writers'
    jobs = base.ALL_JOBS
    verifies = True

    def __init__(self, directory: pathlib.Path, venv: pathlib.Path) -> None:
        self.home = directory / 'benji'
        self.repository = self.home / 'repository'
        self._venv = venv
        self._configuration = self.home / 'benji.yaml'

    def provide(self) -> str:
        complete = self._venv / 'complete'
        wanted = f'{sys.version}\n{_REQUIREMENTS.read_text()}'
        if not complete.exists() or complete.read_text() != wanted:
            print(f'making {self._venv}', flush=True)
            try:
                self._install()
            except subprocess.CalledProcessError as error:
                raise base.Unavailable(
                    f'could not be installed into {self._venv}: '
                    f'{(error.stderr or "see above").strip()[-300:]}'
                ) from error
            complete.write_text(wanted)
        return f'benji {VERSION}'

    def prepare(self) -> None:
        (self.repository / 'data').mkdir(parents=True)
        simultaneous = {'simultaneousReads': 2, 'simultaneousWrites': 2}
        # JSON is YAML, too.
        self._configuration.write_text(
            json.dumps(
                {
                    'configurationVersion': '1',
                    'databaseEngine': f'sqlite:///{self.repository}/db.sqlite',
                    'blockSize': 4 << 20,
                    'defaultStorage': 'storage',
                    'storages': [
                        {
                            'name': 'storage',
                            'storageId': 1,
                            'module': 'file',
                            'configuration': {
                                'path': str(self.repository / 'data'),
                                'activeTransforms': ['zstd'],
                                **simultaneous,
                            },
                        }
                    ],
                    'transforms': [
                        {
                            'name': 'zstd',
                            'module': 'zstd',
                            'configuration': {'level': 1},
                        }
                    ],
                    'ios': [
                        {
                            'name': 'file',
                            'module': 'file',
                            'configuration': simultaneous,
                        }
                    ],
                }
            )
        )
        process.measure(self._command('database-init'))

    def back_up(self, volume: pathlib.Path, image: str) -> process.Command:
        return self._command(
            'backup', '--uid', image, f'file:{volume}', 'volume'
        )

    def restore(
        self, image: str, volume: str, directory: pathlib.Path
    ) -> process.Command:
        return self._command(
            'restore', '--sparse', image, f'file:{directory / volume}'
        )

    def _command(self, *arguments: str) -> process.Command:
        return process.Command(
            [
                self._venv / 'bin' / 'benji',
                *('--config-file', self._configuration),
                *('--log-level', 'WARNING', *arguments),
            ]
        )

    def _install(self) -> None:
        shutil.rmtree(self._venv, ignore_errors=True)
        _run(sys.executable, '-m', 'venv', str(self._venv))
        pip = [str(self._venv / 'bin' / 'python'), '-m', 'pip', 'install']
        _run(*pip, '--quiet', '-r', str(_REQUIREMENTS))
        _run(*pip, '--quiet', '--no-deps', f'benji=={VERSION}')


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
