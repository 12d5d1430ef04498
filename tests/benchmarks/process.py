# SPDX-License-Identifier: Apache-2.0
"""Runs a measured program and watches its memory from outside."""

import json
import pathlib
import subprocess
import sys
import threading
from typing import Any

_EVERY = 0.02  # seconds between two looks at the memory


def run(module: str, *arguments: str | pathlib.Path) -> dict[str, Any]:
    """The JSON object that the module prints, and its ``anonymous`` peak.

    :param module: below tests.benchmarks
    """
    child = subprocess.Popen(
        [
            sys.executable,
            '-m',
            f'tests.benchmarks.{module}',
            *map(str, arguments),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    watcher = Watcher(child.pid)
    watcher.start()
    output, _ = child.communicate()
    watcher.stop()
    if child.returncode:
        raise RuntimeError(f'{module} {arguments[0]} failed, see above')
    answer: dict[str, Any] = json.loads(output)
    answer['anonymous'] = watcher.peak
    return answer


class Watcher(threading.Thread):
    """Looks at a process's anonymous memory until told to stop.

    :ivar peak: bytes
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = pathlib.Path(f'/proc/{pid}/status')
        self._over = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._over.wait(_EVERY):
            try:
                lines = self._status.read_text().splitlines()
            except OSError:
                return  # it has ended
            for line in lines:
                if line.startswith('RssAnon:'):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)

    def stop(self) -> None:
        self._over.set()
        self.join()
