# SPDX-License-Identifier: Apache-2.0
"""QEMU's NBD servers for tests, and another client of theirs."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time

import fixtures
from oslo_config import cfg

from ebackup_service.conf import nbd as options
from tests import debian
from tests import environment

NAME = 'volume-0e9a3a0e-4b4d-4d3f-9a51-6f2b4f1f2a11'
SECONDS = 20


def need() -> None:
    """Call it in setUp()."""
    debian.need('python3-libnbd', 'libnbdmod', 'nbd')
    need_programs()


def need_programs() -> None:
    """Call it in setUp() of tests that do without libnbd."""
    for program in ('qemu-nbd', 'qemu-img', 'qemu-storage-daemon'):
        if not shutil.which(program):
            environment.lacks(f'{program} is not installed')


def configuration(directory: str, **given) -> cfg.ConfigOpts:
    """In which a storage may use a directory."""
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf([])
    given = {'socket_roots': [directory], 'scratch_directory': directory} | (
        given
    )
    for name, value in given.items():
        conf.set_override(name, value, group='nbd')
    return conf


def client(path: str, export: str = NAME, contexts=()):
    """libnbd's handle of somebody else, who is a guest for example."""
    import nbd

    handle = nbd.NBD()
    for context in contexts:
        handle.add_meta_context(context)
    handle.set_export_name(export)
    handle.connect_unix(path)
    return handle


def fill(path: str, content: bytes, export: str = NAME) -> None:
    handle = client(path, export)
    piece = 16 << 20
    for offset in range(0, len(content), piece):
        handle.pwrite(content[offset : offset + piece], offset)
    handle.flush()
    handle.shutdown()


def content(path: str, export: str = NAME) -> bytes:
    handle = client(path, export)
    size, piece = handle.get_size(), 16 << 20
    found = b''.join(
        bytes(handle.pread(min(piece, size - offset), offset))
        for offset in range(0, size, piece)
    )
    handle.shutdown()
    return found


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as tried:
        return not tried.connect_ex(path)


def qemu_img(*arguments: str) -> None:
    subprocess.run(['qemu-img', *arguments], check=True, capture_output=True)


class Server(fixtures.Fixture):
    """A process with an NBD server.

    :ivar directory: of its files, one for each volume
    :ivar socket: its path
    """

    def __init__(self, size: int, form: str = 'qcow2') -> None:
        super().__init__()
        self.size = size
        self.form = form

    def _setUp(self) -> None:
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.socket = os.path.join(self.directory, 'nbd.sock')
        self.make()
        self.start()

    @property
    def image(self) -> str:
        return os.path.join(self.directory, NAME)

    def make(self) -> None:
        qemu_img('create', '-f', self.form, self.image, str(self.size))

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        for path in os.listdir(self.directory):
            if path.endswith(('.sock', '.pid')):
                os.unlink(os.path.join(self.directory, path))
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(self.kill)
        end = time.monotonic() + SECONDS
        while not self.answers():
            assert self.process.poll() is None, 'the server ended'
            assert time.monotonic() < end, 'the server does not answer'
            time.sleep(0.005)

    def answers(self) -> bool:
        return listens(self.socket)

    def stop(self) -> None:
        """Let it write what it has to, and end.

        qemu-nbd forgets a signal that comes while it starts.
        """
        end = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < end, 'the server does not end'
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)


class QemuNbd(Server):
    """:param arguments: more of them"""

    def __init__(
        self, size: int, *arguments: str, form: str = 'qcow2'
    ) -> None:
        super().__init__(size, form)
        self.arguments = arguments

    def command(self) -> list[str]:
        return [
            *('qemu-nbd', '-t', '-e', '16', '-x', NAME, '-k', self.socket),
            *('--discard=unmap', '-f', self.form, *self.arguments),
            self.image,
        ]


class StorageDaemon(Server):
    """With two monitors: the socket qmp.sock, and another.sock."""

    @property
    def monitor(self) -> str:
        return os.path.join(self.directory, 'qmp.sock')

    @property
    def another_monitor(self) -> str:
        """Of somebody else, as libvirt."""
        return os.path.join(self.directory, 'another.sock')

    def command(self) -> list[str]:
        return [
            'qemu-storage-daemon',
            '--blockdev',
            f'driver=file,node-name=file,filename={self.image},discard=unmap',
            '--blockdev',
            f'driver={self.form},node-name=volume,file=file,discard=unmap',
            '--nbd-server',
            f'addr.type=unix,addr.path={self.socket},max-connections=0',
            '--export',
            f'type=nbd,id=guest,node-name=volume,name={NAME},writable=on',
            '--chardev',
            f'socket,id=monitor,path={self.monitor},server=on,wait=off',
            '--monitor',
            'chardev=monitor',
            '--chardev',
            f'socket,id=another,path={self.another_monitor},server=on,wait=off',
            '--monitor',
            'chardev=another',
            '--pidfile',
            self.ready,
        ]

    @property
    def ready(self) -> str:
        """A file that it writes when it has made all else."""
        return os.path.join(self.directory, 'daemon.pid')

    def answers(self) -> bool:
        """Who connects to it earlier, or without asking, may confuse it."""
        if not os.path.exists(self.ready):
            return False
        try:
            self.execute('query-version')
        except OSError:
            return False
        return super().answers()

    def execute(self, command: str, **arguments):
        """What the monitor answers; somebody else asks it."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(SECONDS)
            asked.connect(self.monitor)
            with asked.makefile('rwb') as lines:
                lines.readline()
                for message in (
                    {'execute': 'qmp_capabilities'},
                    {'execute': command, 'arguments': arguments},
                ):
                    lines.write(json.dumps(message).encode() + b'\n')
                    lines.flush()
                    answer = {'event': None}
                    while 'event' in answer:
                        answer = json.loads(lines.readline())
        if 'error' in answer:
            raise AssertionError(answer['error'])
        return answer['return']

    def bitmaps(self) -> dict[str, dict]:
        """Of the volume, those with names."""
        nodes = self.execute('query-named-block-nodes', flat=True)
        (volume,) = [node for node in nodes if node['node-name'] == 'volume']
        return {
            bitmap['name']: bitmap
            for bitmap in volume.get('dirty-bitmaps', [])
            if bitmap.get('name')
        }

    def parts(self) -> set[str]:
        """Names of all nodes, exports, jobs and bitmaps that we may make."""
        nodes = self.execute('query-named-block-nodes', flat=True)
        exports = self.execute('query-block-exports')
        jobs = self.execute('query-jobs')
        return {
            name
            for name in (
                *(node['node-name'] for node in nodes),
                *(export['id'] for export in exports),
                *(job['id'] for job in jobs),
                *self.bitmaps(),
                *os.listdir(self.directory),
            )
            if name.startswith('ebackup')
        }


class PullMode(StorageDaemon):
    """As libvirt has QEMU serve a backup that it has begun in pull mode.

    While a guest goes on writing, what it overwrites is kept in an image over
    the volume; that is exported, read-only.
    """

    EXPORT = f'instant-{NAME}'

    def begin(
        self,
        checkpoint: str,
        since: str | None = None,
        bitmap: str | None = None,
    ) -> None:
        """Show what the volume holds now, and count what changes from now on.

        :param since: earlier checkpoint; what has changed since then is shown
        :param bitmap: as which it is
        """
        path = self._scratch
        qemu_img('create', '-f', 'qcow2', path, str(self.size))
        self._do(
            'blockdev-add',
            ('driver', 'qcow2'),
            ('node-name', 'scratch'),
            ('file', {'driver': 'file', 'filename': path}),
            ('backing', 'volume'),
        )
        shown = [] if since is None else [{'node': 'scratch', 'name': bitmap}]
        copied = [
            action
            for one in shown
            for action in (
                _action('block-dirty-bitmap-add', disabled=True, **one),
                _action(
                    'block-dirty-bitmap-merge',
                    node='scratch',
                    target=bitmap,
                    bitmaps=[{'node': 'volume', 'name': since}],
                ),
            )
        ]
        backup = {'job-id': 'pull', 'device': 'volume', 'target': 'scratch'}
        self.execute(
            'transaction',
            actions=[
                *copied,
                _action(
                    'block-dirty-bitmap-add', node='volume', name=checkpoint
                ),
                _action('blockdev-backup', sync='none', **backup),
            ],
        )
        self._do(
            'block-export-add',
            ('type', 'nbd'),
            ('id', 'pull'),
            ('node-name', 'scratch'),
            ('name', self.EXPORT),
            ('writable', False),
            ('bitmaps', shown),
        )

    def end(self) -> None:
        self.execute('block-export-del', id='pull', mode='hard')
        self._await('query-block-exports')
        self.execute('block-job-cancel', device='pull')
        self._await('query-jobs')
        self._do('blockdev-del', ('node-name', 'scratch'))
        os.unlink(self._scratch)

    @property
    def _scratch(self) -> str:
        return os.path.join(self.directory, 'scratch')

    def _do(self, command: str, *arguments: tuple[str, object]) -> None:
        """What has names that Python has not."""
        self.execute(command, **dict(arguments))

    def _await(self, command: str) -> None:
        """Until what is asked for has ended."""
        end = time.monotonic() + SECONDS
        while any(one['id'] == 'pull' for one in self.execute(command)):
            assert time.monotonic() < end, 'it does not end'
            time.sleep(0.005)


def _action(kind: str, **data: object) -> dict[str, object]:
    return {'type': kind, 'data': data}
