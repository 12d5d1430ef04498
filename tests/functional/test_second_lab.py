# SPDX-License-Identifier: Apache-2.0
"""A lab beside the first one, whose making was interrupted several times."""

import csv
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from tests.functional import base
from tests.functional import lab
from tests.functional import sockets

TOOLS = lab.TREE / 'tools'
# That a lab has, or leaves free for itself.
PORTS = 20


class Interruption(NamedTuple):
    """Of `tools/lab up`, as soon as it has written into a file."""

    file: str  # a pattern, below the directory of the lab
    by: signal.Signals


_INTERRUPTIONS = {
    'default': (
        Interruption('venv/lib/*/site-packages/cinder/*.py', signal.SIGINT),
        Interruption('state/keystone/keystone.sqlite', signal.SIGKILL),
        Interruption('state/cinder/cinder.sqlite', signal.SIGKILL),
        Interruption('run/cinder.json', signal.SIGINT),
    ),
    'processes': (
        Interruption('state/mariadb/mysql/*', signal.SIGINT),
        Interruption('state/mariadb/cinder/services.ibd', signal.SIGKILL),
        Interruption('run/cinder-volume.json', signal.SIGKILL),
    ),
    'ceph': (
        Interruption('state/ceph/mon/store.db/CURRENT', signal.SIGKILL),
        Interruption('state/ceph/osd/block', signal.SIGKILL),
        Interruption('run/ceph-rgw.json', signal.SIGINT),
    ),
}


class TestSecondLab(base.LabTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        first = lab.current()
        cls.before = _pids(first)
        cls.second = _beside(first, 'second')
        cls.second.run('destroy')
        cls.addClassCleanup(cls.second.run, 'destroy')
        cls.base_port = _free_ports()
        arguments = ['up', first.profile, '--base-port', str(cls.base_port)]
        for interruption in _INTERRUPTIONS[first.profile]:
            _interrupt(cls.second, interruption, arguments)
        cls.second.run(*arguments)

    def test_every_service_is_running(self) -> None:
        states = {
            s['name']: s['state'] for s in self.second.status()['services']
        }
        self.assertEqual({'running'}, set(states.values()), states)

    def test_every_package_is_whole(self) -> None:
        records = self.second.directory.glob('venv/lib/*/*/*-info/RECORD')
        missing = [
            path
            for record in records
            for name, *_ in csv.reader(record.read_text().splitlines())
            if not (path := record.parents[1] / name).exists()
        ]
        self.assertEqual([], missing)

    def test_volume_outlasts_down_and_up(self) -> None:
        made = self.shell(
            'openstack volume create --size 1 -f value -c id outlasting'
        )
        for verb in 'down', 'up':
            self.second.run(verb)
        listed = self.shell('openstack volume list -f value -c ID -c Name')
        self.assertEqual(f'{made} outlasting', listed)

    def shell(self, command: str) -> str:
        """Return what a command prints, where `env` says what it needs."""
        lab_program = f'{TOOLS}/lab --dir {self.second.directory}'
        return subprocess.check_output(
            ['/bin/sh', '-ec', f'eval "$({lab_program} env)"; {command}'],
            env={'PATH': os.environ['PATH'], 'HOME': '/nonexistent'},
            text=True,
        ).strip()

    def test_services_of_the_first_run_on(self) -> None:
        self.assertEqual(self.before, _pids(self.lab))

    def test_ports_are_those_asked_for_and_on_loopback(self) -> None:
        asked = range(self.base_port, self.base_port + PORTS)
        found = {
            listener
            for pid in _pids(self.second).values()
            for listener in sockets.listening(pid)
        }
        self.assertTrue(found)
        for address, port in found:
            self.assertTrue(address.is_loopback, found)
            self.assertIn(port, asked)

    def test_other_ports_than_its_own_are_refused(self) -> None:
        done = _up(self.second, self.base_port + PORTS)
        self.assertEqual(1, done.returncode)
        self.assertIn(f'has base port {self.base_port}', done.stderr)

    def test_ports_in_use_are_refused(self) -> None:
        third = _beside(self.lab, 'third')
        self.addCleanup(third.run, 'destroy')
        done = _up(third, self.base_port)
        self.assertEqual(1, done.returncode)
        self.assertIn(f'port {self.base_port} is in use', done.stderr)


def _beside(first: lab.Lab, name: str) -> lab.Lab:
    directory = first.directory
    return lab.Lab(directory.with_name(f'{directory.name}-{name}'))


def _pids(which: lab.Lab) -> dict[str, int]:
    return {s['name']: s['pid'] for s in which.status()['services']}


def _free_ports() -> int:
    """Return the first of enough consecutive ports."""
    program = 'from lablib import ports; print(ports.choose())'
    return int(
        subprocess.check_output([sys.executable, '-c', program], cwd=TOOLS)
    )


def _up(which: lab.Lab, base_port: int) -> subprocess.CompletedProcess[str]:
    command = [TOOLS / 'lab', '--dir', which.directory, 'up']
    return subprocess.run(
        [*command, '--base-port', str(base_port)],
        capture_output=True,
        text=True,
    )


def _interrupt(
    which: lab.Lab, interruption: Interruption, arguments: list[str]
) -> None:
    """Run tools/lab until that moment; SIGINT is as from a terminal."""
    program = lab.start('--dir', which.directory, *arguments)
    while not _has_written(which.directory, interruption.file):
        if program.poll() is not None:
            raise AssertionError(f'ended before {interruption}')
        time.sleep(0.01)
    if interruption.by == signal.SIGINT:
        os.killpg(program.pid, interruption.by)
    else:
        # Alone: what it has started goes on for a while.
        os.kill(program.pid, interruption.by)
    program.wait()


def _has_written(directory: pathlib.Path, pattern: str) -> bool:
    for path in directory.glob(pattern):
        try:
            if path.stat().st_size:
                return True
        except FileNotFoundError:
            pass
    return False
