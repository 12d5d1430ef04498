# SPDX-License-Identifier: Apache-2.0
"""Runs a measured program and watches it from outside."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

_EVERY = 0.02  # seconds between two looks at the memory
_TICK = os.sysconf('SC_CLK_TCK')
_TOLD = 2000  # characters of a failed program's output


class Failure(Exception):
    """A benchmark can't go on, or has found something wrong."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A program with all that it is started with.

    :ivar environment: what it gets besides our own
    """

    arguments: list[str | pathlib.Path]
    directory: pathlib.Path | None = None
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a program took from its start to its end, children included.

    :ivar wall: seconds
    :ivar cpu: seconds, in user and in system mode
    :ivar anonymous: peak of the memory that is no file's, bytes
    :ivar others: cores that the rest of the machine kept busy meanwhile
    :ivar output: what it printed
    """

    wall: float
    cpu: float
    anonymous: int
    others: float
    output: str

    def figures(self) -> dict[str, float]:
        return {
            'wall_seconds': self.wall,
            'cpu_seconds': self.cpu,
            'peak_anonymous_bytes': self.anonymous,
            'other_cores': self.others,
        }


def measure(command: Command) -> Measured:
    """:raises Failure: it failed"""
    with (
        tempfile.TemporaryFile('w+') as printed,
        tempfile.TemporaryFile('w+') as complaints,
    ):
        busy, started = busy_seconds(), time.monotonic()
        child = subprocess.Popen(
            [str(argument) for argument in command.arguments],
            cwd=command.directory,
            env=_environment() | command.environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complaints,
        )
        watcher = Watcher(child.pid)
        watcher.start()
        try:
            # Popen.wait() would not tell what the children took.
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
        wall = time.monotonic() - started
        busy = busy_seconds() - busy
        child.returncode = os.waitstatus_to_exitcode(status)
        watcher.stop()
        printed.seek(0)
        output = printed.read()
        complaints.seek(0)
        told = output[-_TOLD:] + complaints.read()[-_TOLD:]
    if child.returncode:
        raise Failure(
            f'{" ".join(map(str, command.arguments[:4]))} … ended with '
            f'{child.returncode}:\n{told.strip()}'
        )
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(
        wall, cpu, watcher.peak, max(busy - cpu, 0.0) / wall, output
    )


def _environment() -> dict[str, str]:
    """Ours, in which Python may keep what it has compiled.

    As installed packages do: otherwise each process would compile its modules
    first, which nobody who uses the product waits for.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name != 'PYTHONDONTWRITEBYTECODE'
    }


def run(module: str, *arguments: str | pathlib.Path) -> dict[str, Any]:
    """The JSON object that one of our modules prints.

    It gets a ``process``: the figures of its process as a whole.

    :param module: below tests.benchmarks
    """
    measured = measure(
        Command(
            [sys.executable, '-m', f'tests.benchmarks.{module}', *arguments]
        )
    )
    answer: dict[str, Any] = json.loads(measured.output)
    answer['process'] = measured.figures()
    return answer


def busy_seconds() -> float:
    """CPU seconds of everybody since the machine was started."""
    with open('/proc/stat', encoding='ascii') as file:
        user, nice, system, _, _, irq, softirq, *_ = map(
            int, file.readline().split()[1:]
        )
    return (user + nice + system + irq + softirq) / _TICK


def cpu_seconds(pid: int) -> float:
    """Of a process and its dead children."""
    return _ticks(pathlib.Path(f'/proc/{pid}')) / _TICK


def cpu_seconds_below(directory: pathlib.Path) -> float:
    """Of all processes that work in or below it, and their dead children."""
    ticks = 0
    for entry in pathlib.Path('/proc').iterdir():
        if not entry.name.isdigit():
            continue
        try:
            place = pathlib.Path(os.readlink(entry / 'cwd'))
            if place.is_relative_to(directory):
                ticks += _ticks(entry)
        except OSError:
            continue  # it has ended, or is a thread of the kernel
    return ticks / _TICK


def _ticks(entry: pathlib.Path) -> int:
    fields = (entry / 'stat').read_text().rpartition(')')[2].split()
    return sum(map(int, fields[11:15]))


class Watcher(threading.Thread):
    """Looks at the anonymous memory of a process and its descendants.

    :ivar peak: bytes
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._over.wait(_EVERY):
            found = sum(map(anonymous, family(self._pid)))
            self.peak = max(self.peak, found)

    def stop(self) -> None:
        self._over.set()
        self.join()


def anonymous(pid: int) -> int:
    """Bytes; 0 of a process that has ended."""
    try:
        lines = pathlib.Path(f'/proc/{pid}/status').read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith('RssAnon:'):
            return int(line.split()[1]) * 1024
    return 0


def family(pid: int) -> list[int]:
    """A process and its descendants, as far as they live."""
    found = [pid]
    for parent in found:
        tasks = f'/proc/{parent}/task'
        # Each of them may end between any two steps.
        try:
            threads = os.listdir(tasks)
        except OSError:
            continue
        for thread in threads:
            try:
                children = pathlib.Path(tasks, thread, 'children').read_text()
            except OSError:
                continue
            found += map(int, children.split())
    return found
