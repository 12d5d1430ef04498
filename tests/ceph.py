# SPDX-License-Identifier: Apache-2.0
"""A Ceph of this process: one monitor, one OSD on a sparse file, two pools.

That of unit tests is made when the first one asks for it, which takes some
seconds, and ends with the process, however that ends. They make images of
their own, as benchmarks do in Cephs of theirs.
"""

import atexit
import configparser
import ctypes
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Any
import uuid

from tests import debian
from tests import environment

POOL, OTHER_POOL = 'volumes', 'images'
PROGRAMS = (
    *('ceph-authtool', 'monmaptool', 'ceph-mon', 'ceph-osd'),
    *('ceph', 'rbd'),
)
_CAPABILITIES = {
    'mon.': {'mon': 'allow *'},
    'client.admin': {'mon': 'allow *', 'osd': 'allow *', 'mgr': 'allow *'},
    'osd.0': {'mon': 'allow profile osd', 'osd': 'allow *'},
    # What the documents tell to give it, where volumes are cloned from images.
    'client.ebackup': {
        'mon': 'profile rbd',
        'osd': f'profile rbd pool={POOL}, '
        f'profile rbd-read-only pool={OTHER_POOL}',
    },
    # And where they are not.
    'client.confined': {
        'mon': 'profile rbd',
        'osd': f'profile rbd pool={POOL}',
    },
    'client.stranger': {'mon': 'profile rbd'},
}
_QUIET = (
    *('asok', 'auth', 'bdev', 'bluefs', 'bluestore', 'mon', 'monc', 'ms'),
    *('objecter', 'osd', 'paxos', 'rados', 'rbd', 'rocksdb'),
)
_TIMEOUT = 60  # seconds
_SOCKET = 'run/osd.asok'  # of the OSD
_PR_SET_PDEATHSIG = 1
_PORTS = 50


def running() -> 'Ceph':
    """That of this process's tests; see need()."""
    need()
    return _running()


def need() -> None:
    """Call environment.lacks() where there can be no Ceph."""
    debian.need('python3-rados', 'rados')
    debian.need('python3-rbd', 'rbd')
    for program in PROGRAMS:
        if shutil.which(program) is None:
            environment.lacks(f'{program} is not installed')


@functools.cache
def _running() -> 'Ceph':
    ceph = Ceph(pathlib.Path(tempfile.mkdtemp(prefix='ebackup-ceph-')))
    atexit.register(ceph.destroy)
    ceph.start()
    return ceph


class Ceph:
    """:param home: an empty directory"""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.conf = home / 'ceph.conf'
        self.mon_host = ''
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._admin: Any = None

    def start(self) -> None:
        port = _free_port()
        self.mon_host = f'[v2:127.0.0.1:{port}]'
        self._write_conf(port)
        for name in 'mon', 'osd', 'run':
            (self.home / name).mkdir()
        self._write_keyring()
        cluster = str(uuid.uuid4())
        monmap = str(self.home / 'monmap')
        self._run('monmaptool', '--create', '--fsid', cluster, monmap)
        self._run('monmaptool', '--addv', 'a', self.mon_host, monmap)
        self._run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', monmap)
        self._start('ceph-mon', 'a')
        osd = str(uuid.uuid4())
        self._command('osd create', uuid=osd, id=0)
        self._run(
            *('ceph-osd', '--mkfs', '-i', '0', '--no-mon-config'),
            *('--osd-uuid', osd, '--fsid', cluster),
        )
        self.start_osd()
        for pool in POOL, OTHER_POOL:
            self._command('osd pool create', pool=pool, pg_num=8)
            self._command('osd pool application enable', pool=pool, app='rbd')
        with self.ioctx() as ioctx:
            ioctx.write_full('works', b'')

    def destroy(self) -> None:
        if self._admin is not None:
            self._admin.shutdown()
        for process in self._processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    # What tests do to it

    def start_osd(self) -> None:
        self._start('ceph-osd', '0')

    def kill_osd(self) -> None:
        process = self._processes['ceph-osd']
        process.kill()
        process.wait()

    def stop_osd(self) -> None:
        """It keeps its connections, and does nothing any more.

        Not twice without continue_osd().
        """
        process = self._processes['ceph-osd']
        process.send_signal(signal.SIGSTOP)
        # None of its threads is on a core any more then.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)

    def continue_osd(self) -> None:
        self._processes['ceph-osd'].send_signal(signal.SIGCONT)

    def confine(self, cores: set[int]) -> None:
        """Let its processes use these cores only."""
        for process in self._processes.values():
            for thread in os.listdir(f'/proc/{process.pid}/task'):
                os.sched_setaffinity(int(thread), cores)

    # What tests need of it

    @property
    def osd_pid(self) -> int:
        return self._processes['ceph-osd'].pid

    def key(self, user: str) -> str:
        keyring = configparser.ConfigParser(strict=False)
        keyring.read(self.home / 'keyring')
        return keyring[f'client.{user}']['key']

    def settings(self, user: str = 'ebackup', **more: Any) -> dict[str, Any]:
        return {
            'pool': POOL,
            'user': user,
            'mon_host': self.mon_host,
            'lock_timeout': 0,
            **more,
        }

    def credentials(self, user: str = 'ebackup') -> dict[str, str]:
        return {'key': self.key(user)}

    def ioctx(self, pool: str = POOL) -> Any:
        """The administrator's, of a pool."""
        return self.admin.open_ioctx(pool)

    @property
    def admin(self) -> Any:
        if self._admin is None:
            import rados

            self._admin = rados.Rados(
                conffile=str(self.conf),
                conf={'rbd_cache': 'false', 'client_mount_timeout': '60'},
            )
            self._admin.connect()
        return self._admin

    def counter(self, name: str, part: str = 'osd') -> int:
        """What a part of the OSD has counted since it was started."""
        found = self._run(
            *('ceph', '--admin-daemon', _SOCKET, 'perf', 'dump', part, name)
        )
        return int(json.loads(found)[part][name])

    def rbd(self, *arguments: str) -> str:
        """Run the command line, and return what it prints."""
        return self._run('rbd', *arguments)

    # How it is made

    def _write_conf(self, port: int) -> None:
        sections: dict[str, dict[str, Any]] = {
            'global': {
                'mon_host': self.mon_host,
                'public_addr': '127.0.0.1',
                'cluster_addr': '127.0.0.1',
                'ms_bind_msgr1': 'false',
                'ms_bind_port_min': port + 1,
                'ms_bind_port_max': port + _PORTS,
                'keyring': self.home / 'keyring',
                'run_dir': self.home / 'run',
                'admin_socket': '',
                'log_file': '',
                'log_to_stderr': 'true',
                'crash_dir': self.home,
                'auth_allow_insecure_global_id_reclaim': 'false',
                'osd_crush_chooseleaf_type': 0,
                'osd_pool_default_size': 1,
                'osd_pool_default_pg_autoscale_mode': 'off',
                'mon_allow_pool_size_one': 'true',
                'mon_warn_on_pool_no_redundancy': 'false',
                # The disk is shared with everything else.
                'mon_data_avail_warn': 1,
                'mon_data_avail_crit': 1,
                **{f'debug_{name}': '0/0' for name in _QUIET},
            },
            'mon': {
                'mon_data': self.home / 'mon',
                'mon_cluster_log_to_file': 'false',
                'paxos_propose_interval': 0.05,
                'paxos_min_wait': 0.01,
            },
            'osd': {
                'osd_data': self.home / 'osd',
                # Below the directory that it is started in.
                'admin_socket': _SOCKET,
                'osd_memory_target': 896 << 20,  # the least that it takes
                # Until a client that was killed has lost its locks.
                'osd_client_watch_timeout': 15,
                'bluestore_block_size': 20 << 30,
            },
        }
        with self.conf.open('w') as file:
            for name, options in sections.items():
                print(f'[{name}]', file=file)
                for option, value in options.items():
                    print(f'{option} = {value}', file=file)

    def _write_keyring(self) -> None:
        keyring = str(self.home / 'keyring')
        tool = 'ceph-authtool'
        self._run(tool, '--create-keyring', keyring)
        for user, capabilities in _CAPABILITIES.items():
            pairs = [
                word
                for pair in capabilities.items()
                for word in ('--cap', *pair)
            ]
            self._run(tool, keyring, '--gen-key', '-n', user, *pairs)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=os.environ | {'CEPH_CONF': str(self.conf)},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f'{command} failed: {done.stderr}')
        return done.stdout

    def _start(self, program: str, name: str) -> None:
        with (self.home / f'{program}.log').open('ab') as log:
            self._processes[program] = subprocess.Popen(
                [program, '-f', '-i', name, '--conf', str(self.conf)],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
            )

    def _command(self, prefix: str, **arguments: Any) -> None:
        question = json.dumps({'prefix': prefix, **arguments})
        code, _, said = self.admin.mon_command(question, b'', timeout=_TIMEOUT)
        if code:
            raise RuntimeError(f'{prefix} failed: {said}')


def wait_for(condition: Any, what: str) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f'after {_TIMEOUT} s still not: {what}')
        time.sleep(0.05)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # As for all that runs in the background, it may be ignored here.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _free_port() -> int:
    """The monitor's; an OSD finds its own among those behind it."""
    while True:
        port = random.randrange(33000, 60000)
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
            return port
