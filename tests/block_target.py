# SPDX-License-Identifier: Apache-2.0
"""A real iSCSI target in user space: tgtd, of Debian's package tgt."""

import os
import shutil
import subprocess
import time

import fixtures

from tests import environment

SECONDS = 20


def need() -> None:
    """Call it where environment.lacks() may be called."""
    if os.geteuid():
        environment.lacks('tgtd needs root')
    for program in ('tgtd', 'tgtadm'):
        if not shutil.which(program):
            environment.lacks(f'{program} is not installed')


class Tgtd(fixtures.Fixture):
    """A process that is told what to export; see need().

    :param directory: of its log and its sockets; it is there
    :param portal: address and port
    :ivar control: TGT_IPC_SOCKET of whoever tells it by tgtadm
    """

    def __init__(self, directory: str, portal: str) -> None:
        super().__init__()
        self._log = os.path.join(directory, 'log')
        self.control = os.path.join(directory, 'tgtd')
        self.portal = portal

    def _setUp(self) -> None:
        self.start()
        self.addCleanup(self.kill)

    def start(self) -> None:
        """Without any targets; to be called again after kill()."""
        with open(self._log, 'ab') as log:
            self.process = subprocess.Popen(
                ['tgtd', '-f', '--iscsi', f'portal={self.portal}'],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + SECONDS
        while self._told('sys', 'show').returncode:
            assert self.process.poll() is None, 'tgtd ended'
            assert time.monotonic() < end, 'tgtd does not answer'
            time.sleep(0.02)

    def kill(self) -> None:
        """It doesn't end by a signal that it can hear, with a target."""
        self.process.kill()
        self.process.wait(SECONDS)

    def tell(self, mode: str, operation: str, *more: str) -> str:
        """Return what it answers."""
        done = self._told(mode, operation, *more)
        assert done.returncode == 0, (mode, operation, done.stderr)
        return done.stdout

    def targets(self) -> str:
        """Return what there is, with all who have logged in to it."""
        return self.tell('target', 'show')

    def _told(
        self, mode: str, operation: str, *more: str
    ) -> subprocess.CompletedProcess[str]:
        command = ['tgtadm', '--lld', 'iscsi', '--mode', mode]
        return subprocess.run(
            [*command, '--op', operation, *more],
            env=self._environment(),
            capture_output=True,
            text=True,
        )

    def _environment(self) -> dict[str, str]:
        return {**os.environ, 'TGT_IPC_SOCKET': self.control}
