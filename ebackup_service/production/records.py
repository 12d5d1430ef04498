# SPDX-License-Identifier: Apache-2.0
"""What this proxy has attached, on its disk, so that it can be detached.

One file for each attachment, from before it is attached until it is detached
again. The process that made it has it locked: a file that is not locked is of
a process that has ended.
"""

from collections.abc import Mapping
import contextlib
import fcntl
import json
import os
from typing import Any
from typing import TYPE_CHECKING
import uuid

if TYPE_CHECKING:
    from oslo_config import cfg


def of(conf: 'cfg.ConfigOpts') -> 'Records':
    return Records(os.path.join(conf.state_path, 'attached'))


class Records:
    """:param directory: made when it is first needed; the service's alone"""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def begin(self, content: Mapping[str, Any]) -> 'Record':
        """Write it down, durably; it has no secrets in it.

        :raises: OSError
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        path = os.path.join(self._directory, str(uuid.uuid4()))
        opened = os.open(
            path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
        fcntl.flock(opened, fcntl.LOCK_EX)
        record = Record(path, opened, {})
        try:
            record.add(content)
            _sync(self._directory)
        except BaseException:
            record.end()
            raise
        return record

    def left(self) -> list['Record']:
        """Those of processes that have ended."""
        found = []
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return []
        for name in names:
            record = _opened(os.path.join(self._directory, name))
            if record is not None:
                found.append(record)
        return found


class Record:
    """One attachment; ``content`` is what was written down of it."""

    def __init__(
        self, path: str, opened: int, content: dict[str, Any]
    ) -> None:
        self.content = content
        self._path = path
        self._opened = opened

    def add(self, content: Mapping[str, Any]) -> None:
        """Write down more, durably."""
        self.content = {**self.content, **content}
        line = json.dumps(content, separators=(',', ':')) + '\n'
        os.write(self._opened, line.encode())
        os.fsync(self._opened)

    def end(self) -> None:
        """It is attached no more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self.leave()

    def leave(self) -> None:
        """Whoever comes next is to detach it."""
        opened, self._opened = self._opened, -1
        if opened >= 0:
            os.close(opened)


def _opened(path: str) -> Record | None:
    """None if a process that runs has it, or nothing is known by it."""
    try:
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content: dict[str, Any] = {}
        with open(opened, 'rb', closefd=False) as file:
            for line in file:
                # Of the last one only a part may have been written.
                with contextlib.suppress(ValueError):
                    content.update(json.loads(line))
    except OSError:
        os.close(opened)
        return None
    except BaseException:
        os.close(opened)
        raise
    record = Record(path, opened, content)
    if 'data' not in content:
        # It was not written yet when its process ended: nothing is attached.
        record.end()
        return None
    return record


def _sync(directory: str) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
