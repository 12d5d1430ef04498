# SPDX-License-Identifier: Apache-2.0
"""The lab that the tests run in: what tools/lab can do for them."""

import functools
import importlib.util
import json
import os
import pathlib
import re
import signal
import subprocess
import types
from typing import Any

TREE = pathlib.Path(__file__).resolve().parents[2]


class Lab:
    """The lab whose directory EBACKUP_LAB names; it has to be up."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def run(self, *arguments: str) -> str:
        """Return what tools/lab prints; its messages go to the test's log."""
        return subprocess.run(
            [TREE / 'tools/lab', '--dir', self.directory, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.run('status', '--json'))

    @functools.cached_property
    def profile(self) -> str:
        return self._settings['profile']

    @property
    def separate(self) -> bool:
        """Tell whether each service is a process of its own."""
        return self.profile == 'processes'

    @functools.cached_property
    def backup_threading(self) -> str:
        """Return how Cinder's backup service is to run: eventlet or native."""
        if not self.separate:
            return 'eventlet'
        return self._settings['backup_threading']

    @functools.cached_property
    def volume_types(self) -> list[str]:
        """Return the names of the back ends, that of the default first.

        They are "block", where the lab is of root, and "file"; in profile
        ceph "rbd", "block" and "file".
        """
        file = self.directory / 'etc/cinder.conf'
        [names] = re.findall(
            r'^enabled_backends = (.*)$', file.read_text(), re.M
        )
        return names.split(',')

    @functools.cached_property
    def _settings(self) -> dict[str, Any]:
        return json.loads((self.directory / 'lab.json').read_text())

    def account(self, user: str) -> dict[str, str]:
        """Return arguments of openstack.connection.Connection."""
        port = self._settings['base_port']
        return {
            'auth_url': f'http://127.0.0.1:{port}/v3',
            'username': user,
            'password': self._settings['passwords'][user],
            'project_name': 'service' if user in _SERVICES else user,
            'user_domain_name': 'Default',
            'project_domain_name': 'Default',
            'region_name': 'RegionOne',
        }

    def environment(self, user: str) -> dict[str, str]:
        """Return the environment in which `openstack` acts as that user."""
        lines = self.run('env', user).splitlines()
        exports = [line.removeprefix('export ') for line in lines]
        wanted = dict(e.split('=', 1) for e in exports if e.startswith('OS_'))
        return {
            **{k: v for k, v in os.environ.items() if k[:3] != 'OS_'},
            **wanted,
        }

    @property
    def spare_port(self) -> int:
        """Return the last of its 20, which is for what tests start."""
        port: int = self._settings['base_port'] + 19
        return port

    def volume_path(self, volume_id: str) -> pathlib.Path:
        """Return the file that holds the volume's bytes.

        To be read and written while Cinder has not attached the volume.
        """
        for path in self.directory.glob(f'volumes/*/volume-{volume_id}'):
            return path
        raise FileNotFoundError(f'no file of volume {volume_id}')

    # To be used while Cinder has not attached the volume, too.

    def read(self, volume_id: str, offset: int, length: int) -> bytes:
        if self.profile == 'ceph':
            where = str(offset), str(length)
            return self._volume('read', volume_id, *where)
        with self.volume_path(volume_id).open('rb', buffering=0) as file:
            file.seek(offset)
            return file.read(length)

    def write(self, volume_id: str, offset: int, data: bytes) -> None:
        if self.profile == 'ceph':
            self._volume('write', volume_id, str(offset), content=data)
            return
        with self.volume_path(volume_id).open('r+b', buffering=0) as file:
            file.seek(offset)
            file.write(data)

    def sha256(self, volume_id: str, *part: int) -> str:
        """Return what is the same for volumes of the same bytes only.

        part: begin and end of the bytes that count, whole MiB; all of them
        without it
        """
        if self.profile == 'ceph':
            numbers = map(str, part)
            return self._volume('digest', volume_id, *numbers).decode().strip()
        return sha256(self.volume_path(volume_id), *part)

    def _volume(
        self, verb: str, volume_id: str, *numbers: str, content: bytes = b''
    ) -> bytes:
        """Let tools/lab do it, which knows in which back end a volume is."""
        program = [TREE / 'tools/lab', '--dir', self.directory]
        return subprocess.run(
            [*program, f'volume-{verb}', volume_id, *numbers],
            check=True,
            input=content,
            stdout=subprocess.PIPE,
        ).stdout

    def rbd(self, *arguments: str, user: str = 'admin') -> str:
        """Return what `rbd` prints of the volumes' pool."""
        conf = self.directory / 'etc/ceph/ceph.conf'
        return subprocess.run(
            ['rbd', '--id', user, '--pool', 'volumes', *arguments],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, 'CEPH_CONF': str(conf)},
            text=True,
        ).stdout

    def service(self, name: str) -> str:
        """Return the name, in this profile, of what runs a program.

        For instance "cinder-backup" and "ebackup-proxy", which are part of
        "cinder" and "ebackup" where services are not separate.
        """
        return name if self.separate else name.partition('-')[0]


# Accounts that act in project "service".
_SERVICES = ('cinder', 'ebackup')


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start tools/lab so that an interruption reaches it and what it starts.

    Where the tests run in the background, SIGINT is ignored, and that would
    be inherited.
    """
    return subprocess.Popen(
        [TREE / 'tools/lab', *map(str, arguments)],
        start_new_session=True,
        preexec_fn=functools.partial(
            signal.signal, signal.SIGINT, signal.default_int_handler
        ),
        text=True,
        **options,
    )


@functools.cache
def current() -> Lab:
    return Lab(pathlib.Path(os.environ['EBACKUP_LAB']).resolve())


def sha256(path: pathlib.Path, *part: int) -> str:
    """Return what is the same for files of the same bytes, and of no others.

    Most of a test's volume is a hole, and is not read.
    """
    digest: str = _sparse().digest(path, *part)
    return digest


@functools.cache
def _sparse() -> types.ModuleType:
    """Return a module of tools/lablib, which is no package of the tests'."""
    place = TREE / 'tools/lablib/sparse.py'
    spec = importlib.util.spec_from_file_location('sparse', place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
