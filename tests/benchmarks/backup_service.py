# SPDX-License-Identifier: Apache-2.0
"""One more cinder-backup in a lab: another driver, in a zone of its own.

A backup that names the zone goes to it, so that all drivers of a comparison
are there at the same time, in the same Cinder.
"""

import os
import pathlib
import signal
import subprocess
from typing import Self

from lablib import lab as lab_module
from lablib import service

_PATIENCE = 30  # seconds that it gets to end by itself
_DRIVERS = pathlib.Path(__file__).with_name('drivers')


class BackupService:
    """Runs between __enter__ and __exit__.

    :ivar pid: of the process that leads it
    """

    def __init__(
        self, lab: lab_module.Lab, zone: str, options: dict[str, str]
    ) -> None:
        """Nothing is started yet.

        :param options: of cinder.conf's DEFAULT section
        """
        self._lab = lab
        self._zone = zone
        self._file = lab.etc / f'cinder-backup-{zone}.conf'
        self._file.write_text(
            '\n'.join(
                [
                    '[DEFAULT]',
                    f'host = {zone}',
                    f'storage_availability_zone = {zone}',
                    *(f'{name} = {value}' for name, value in options.items()),
                    '',
                ]
            )
        )
        self.pid = 0

    def __enter__(self) -> Self:
        like = next(
            one
            for one in service.services(self._lab)
            if one.name == 'cinder-backup'
        )
        log = self._lab.log / f'cinder-backup-{self._zone}.log'
        with log.open('ab') as output:
            self._process = subprocess.Popen(
                [*like.command, '--config-file', self._file],
                cwd=self._lab.directory,
                env=like.environment | {'PYTHONPATH': str(_DRIVERS)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._process.pid
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.pid, signal.SIGKILL)  # what it may have left
        except ProcessLookupError:
            pass
        self._process.wait()
