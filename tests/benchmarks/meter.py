# SPDX-License-Identifier: Apache-2.0
"""What a lab takes while something is done in it."""

from collections.abc import Callable
import pathlib
import time
from typing import TypeVar

from tests.benchmarks import contest
from tests.benchmarks import process

T = TypeVar('T')


class Meter:
    """Of one lab.

    :param home: directory of the lab, in which all of its processes work
    :param pids: of the processes whose memory counts, by name
    """

    def __init__(self, home: pathlib.Path, pids: dict[str, int]) -> None:
        self._home = home
        self._pids = pids

    def measure(self, work: Callable[[], T]) -> tuple[T, contest.Figures]:
        """What comes of it, and what it took."""
        watchers = {
            name: process.Watcher(pid) for name, pid in self._pids.items()
        }
        for watcher in watchers.values():
            watcher.start()
        busy = process.busy_seconds()
        cpu = process.cpu_seconds_below(self._home)
        started = time.monotonic()
        try:
            done = work()
        finally:
            wall = time.monotonic() - started
            cpu = process.cpu_seconds_below(self._home) - cpu
            busy = process.busy_seconds() - busy
            for watcher in watchers.values():
                watcher.stop()
        peaks = {name: watcher.peak for name, watcher in watchers.items()}
        return done, {
            'wall_seconds': wall,
            'cpu_seconds': cpu,
            'peak_anonymous_bytes': sum(peaks.values()),
            'processes': {
                name: {'peak_anonymous_bytes': peak}
                for name, peak in peaks.items()
            },
            'other_cores': max(busy - cpu, 0.0) / wall,
        }
