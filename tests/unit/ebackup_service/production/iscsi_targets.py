# SPDX-License-Identifier: Apache-2.0
"""A real iSCSI target in user space: tgtd."""

import os
import shutil
import socket
import subprocess
import time

import fixtures

from tests import environment

USER, SECRET = 'backup', 'a-secret-of-chap'
TARGET = 'iqn.2026-01.example.lab:disk1'
SECONDS = 20


class Tgtd(fixtures.Fixture):
    """LUN 1 of TARGET, for USER with SECRET.

    :ivar portal: host and port
    :ivar image: the file that it is
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        if os.geteuid():
            environment.lacks('tgtd needs root')
        for program in ('tgtd', 'tgtadm'):
            if not shutil.which(program):
                environment.lacks(f'{program} is not installed')
        self._size = size

    def _setUp(self) -> None:
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.image = os.path.join(self.directory, 'image')
        with open(self.image, 'wb') as file:
            file.truncate(self._size)
        with socket.socket() as bound:
            bound.bind(('127.0.0.1', 0))
            self.portal = f'127.0.0.1:{bound.getsockname()[1]}'
        # Of several of them each has a number, below which its socket is.
        self._number = str(os.getpid() % 30000 + 1000)
        self._environment = os.environ | {
            'TGT_IPC_SOCKET': os.path.join(self.directory, 'tgtd')
        }
        self.start()
        self.addCleanup(self.kill)

    def start(self) -> None:
        self._log = os.path.join(self.directory, 'log')
        with open(self._log, 'ab') as log:
            self.process = subprocess.Popen(
                [
                    *('tgtd', '-f', '-C', self._number),
                    *('--iscsi', f'portal={self.portal}'),
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + SECONDS
        while not self._administer('sys', 'show'):
            assert self.process.poll() is None, 'tgtd ended'
            assert time.monotonic() < end, 'tgtd does not answer'
            time.sleep(0.02)
        one = ('--tid', '1')
        for mode, operation, *more in (
            ('account', 'new', '--user', USER, '--password', SECRET),
            ('target', 'new', *one, '--targetname', TARGET),
            ('logicalunit', 'new', *one, '--lun', '1', '-b', self.image),
            ('account', 'bind', *one, '--user', USER),
            ('target', 'bind', *one, '-I', 'ALL'),
        ):
            assert self._administer(mode, operation, *more), mode

    def kill(self) -> None:
        """It doesn't end by a signal that it can hear, with a target."""
        self.process.kill()
        self.process.wait(SECONDS)

    def sessions(self) -> int:
        """How many initiators have logged in."""
        done = subprocess.run(
            [
                *('tgtadm', '-C', self._number, '--lld', 'iscsi'),
                *('--mode', 'conn', '--op', 'show', '--tid', '1'),
            ],
            env=self._environment,
            capture_output=True,
            text=True,
        )
        return done.stdout.count('Session:')

    def properties(self, **other) -> dict:
        """As Cinder has them in connection_info."""
        return {
            'target_discovered': False,
            'target_portal': self.portal,
            'target_iqn': TARGET,
            'target_lun': 1,
            'volume_id': 'a-volume',
            'auth_method': 'CHAP',
            'auth_username': USER,
            'auth_password': SECRET,
            'access_mode': 'rw',
            'encrypted': False,
        } | other

    def _administer(self, mode: str, operation: str, *more: str) -> bool:
        done = subprocess.run(
            [
                *('tgtadm', '-C', self._number, '--lld', 'iscsi'),
                *('--mode', mode, '--op', operation, *more),
            ],
            env=self._environment,
            capture_output=True,
        )
        return done.returncode == 0
