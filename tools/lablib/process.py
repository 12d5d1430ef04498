# SPDX-License-Identifier: Apache-2.0
"""A process that outlives tools/lab, and is found again later.

It leads a session of its own. A file records its id together with the boot
and the clock tick it started at, so that after a reboot, or when the kernel
has given its id to another process, nobody else is taken for it.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from typing import Any

_BOOT = pathlib.Path('/proc/sys/kernel/random/boot_id')
# Fields of /proc/PID/stat, counted from the one after the name in brackets.
_STATE, _GROUP, _START = 0, 2, 19
# Becomes the command when it is told to; without a word from us, it ends.
_GATE = ['/bin/sh', '-c', 'read -r go && exec "$@" </dev/null', 'gate']


class Process:
    def __init__(self, run: pathlib.Path, name: str) -> None:
        self.name = name
        self._file = run / f'{name}.json'

    @property
    def record(self) -> dict[str, Any] | None:
        """Return what is known of the process if it was started, else None."""
        try:
            return json.loads(self._file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    @property
    def pid(self) -> int | None:
        """Return the id of the process if it is alive, else None."""
        record = self.record
        if record is None or record['boot'] != _BOOT.read_text().strip():
            return None
        fields = _stat(record['pid'])
        if fields is None or fields[_STATE] in 'ZX':
            return None
        return record['pid'] if fields[_START] == record['tick'] else None

    def start(
        self,
        command: list[str],
        environment: dict[str, str],
        directory: pathlib.Path,
        log: pathlib.Path,
        fingerprint: str,
    ) -> None:
        """Start it; its output is appended to the log.

        It does nothing before there is a record of it, so that we may be
        interrupted at any moment and still find it.
        """
        with log.open('ab') as output:
            child = subprocess.Popen(
                [*_GATE, *command],
                env=environment,
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        fields = _stat(child.pid)
        assert fields is not None  # not reaped, so it is there
        record = {
            'pid': child.pid,
            'tick': fields[_START],
            'boot': _BOOT.read_text().strip(),
            'started': time.time(),
            'fingerprint': fingerprint,
            'proven': False,
        }
        # It is our child; ending is noticed by its state, not by waiting.
        child.returncode = 0
        assert child.stdin is not None
        with child.stdin as gate:
            self._write(record)
            gate.write(b'go\n')

    def prove(self) -> None:
        """Record that it was seen to work since it was started."""
        record = self.record
        if record is not None and not record.get('proven'):
            self._write(record | {'proven': True})

    def _write(self, record: dict[str, Any]) -> None:
        temporary = self._file.with_suffix('.new')
        temporary.write_text(json.dumps(record))
        temporary.replace(self._file)

    def stop(self, patience: float) -> bool:
        """Ask it to end, and make it end after so many seconds.

        Return whether it ended by itself.
        """
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and self.pid is not None:
                time.sleep(0.05)
        graceful = self.pid is None
        self.kill()
        return graceful

    def kill(self) -> None:
        """End it and what it started (SIGKILL), and forget it."""
        record = self.record
        if record is not None and record['boot'] == _BOOT.read_text().strip():
            leader = _stat(record['pid'])
            # The id of a group is not given to anybody else while it has
            # members; a stranger would be its own leader.
            if leader is None or leader[_START] == record['tick']:
                while members(record['pid']):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(record['pid'], signal.SIGKILL)
                    time.sleep(0.02)
        self._file.unlink(missing_ok=True)


def _stat(pid: int) -> list[str] | None:
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(')')[2].split()


def members(group: int) -> list[int]:
    """Return the ids of the live processes of a process group."""
    found = []
    for path in pathlib.Path('/proc').iterdir():
        if path.name.isdigit():
            fields = _stat(int(path.name))
            if fields and int(fields[_GROUP]) == group:
                if fields[_STATE] not in 'ZX':
                    found.append(int(path.name))
    return found
