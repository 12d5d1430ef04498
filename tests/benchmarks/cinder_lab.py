# SPDX-License-Identifier: Apache-2.0
"""A lab with three cinder-backup services, each with a driver of its own."""

from collections.abc import Iterator
import contextlib
import pathlib
import subprocess
import sys

from lablib import lab as lab_module
from lablib import process as lab_process
from tests.benchmarks import backup_service
from tests.benchmarks import process

# Name of a contender -> name of each process whose memory counts -> its id.
Processes = dict[str, dict[str, int]]

# Name of a driver -> the zone in which a backup goes to it.
ZONES = {'ours': 'nova', 'posix': 'posix', 'nothing': 'nothing'}
_LAB = pathlib.Path(__file__).parents[2] / 'tools' / 'lab'


@contextlib.contextmanager
def up(
    directory: pathlib.Path,
) -> Iterator[tuple[lab_module.Lab, Processes]]:
    """A lab, and for each contender the processes whose memory counts.

    :raises Failure: the lab is not there, or not all of it
    """
    command: list[str | pathlib.Path] = [sys.executable, _LAB]
    command += ['--dir', directory]
    try:
        if subprocess.run([*command, 'up', 'processes']).returncode:
            raise process.Failure('the lab did not come up, see above')
        lab = lab_module.Lab(directory)
        target = lab.state / 'cinder' / 'posix'
        target.mkdir(exist_ok=True)
        with (
            backup_service.BackupService(
                lab,
                'posix',
                {
                    'backup_driver': 'cinder.backup.drivers.posix.'
                    'PosixBackupDriver',
                    'backup_posix_path': str(target),
                },
            ) as posix,
            backup_service.BackupService(
                lab, 'nothing', {'backup_driver': 'nothing.NothingDriver'}
            ) as nothing,
        ):
            yield (
                lab,
                {
                    'ours': {
                        name: _pid(lab, name)
                        for name in ('cinder-backup', 'ebackup-proxy')
                    },
                    'posix': {'cinder-backup': posix.pid},
                    'nothing': {'cinder-backup': nothing.pid},
                },
            )
    finally:
        subprocess.run([*command, 'destroy'])


def _pid(lab: lab_module.Lab, name: str) -> int:
    pid = lab_process.Process(lab.run, name).pid
    if pid is None:
        raise process.Failure(f'{name} of the lab does not run')
    return pid
