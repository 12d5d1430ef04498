# SPDX-License-Identifier: Apache-2.0
"""A directory on a file system that fails when told to; see the program."""

import ctypes.util
import errno
import json
import os
import subprocess
import sys
import time
from typing import Any

import fixtures

from tests import environment

_PROGRAM = 'tests.unit.ebackup_service.faulty_file_system'
_SECONDS = 60.0
# The older one, which Ceph brings along, knows no flags of a renaming.
_LIBRARY = 'fuse3'


class FaultyDirectory(fixtures.Fixture):
    """A directory on such a file system, as long as a test runs.

    :ivar path: where it is
    :ivar backing: the directory that it shows
    """

    def __init__(self) -> None:
        super().__init__()
        if not ctypes.util.find_library(_LIBRARY):
            environment.lacks('libfuse (Debian: fuse3) is not installed')
        try:
            os.close(os.open('/dev/fuse', os.O_RDWR))
        except OSError as error:
            environment.lacks(f'/dev/fuse can not be used: {error.strerror}')
        environment.need_mounts()

    def _setUp(self) -> None:
        top = self.useFixture(fixtures.TempDir()).path
        self.path, self.backing = f'{top}/place', f'{top}/backing'
        for path in (self.path, self.backing):
            os.mkdir(path)
        self._process = subprocess.Popen(
            [sys.executable, '-m', _PROGRAM, self.backing, self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, 'FUSE_LIBRARY_NAME': _LIBRARY},
        )
        self.addCleanup(self._end)
        self._wait_until_mounted()

    def fail(
        self,
        call: str,
        number: int,
        path: str = '',
        after: int = 0,
        times: int = sys.maxsize,
        bad: int | None = None,
    ) -> None:
        """Let calls fail with an error of errno; see the program's Rule."""
        self._tell(
            rule={
                'call': call,
                'error': number,
                'path': path,
                'after': after,
                'times': times,
                'bad': bad,
            }
        )

    def hang(self, call: str, path: str = '') -> None:
        """Let calls hang until mend()."""
        self.fail(call, 0, path)

    def mend(self) -> int:
        """Let everything go well again.

        :returns: how many calls there were since the last time
        """
        return int(self._tell(clear=True))

    @property
    def hanging(self) -> int:
        """How many calls hang."""
        return int(self._tell(get='hanging'))

    def set(self, name: str, value: bool) -> None:
        """Set an attribute of the program's PassThrough."""
        self._tell(set=name, to=value)

    def _tell(self, **command: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(command), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def _wait_until_mounted(self) -> None:
        end = time.monotonic() + _SECONDS
        while not os.path.ismount(self.path):
            if self._process.poll() is not None:
                assert self._process.stderr
                raise RuntimeError(self._process.stderr.read())
            if time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, 'not mounted', self.path)
            time.sleep(0.02)

    def _end(self) -> None:
        # First, so that nothing can hang on it any more.
        self._process.kill()
        self._process.communicate()
        subprocess.run(['umount', '-l', self.path], capture_output=True)
