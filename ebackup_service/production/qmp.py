# SPDX-License-Identifier: Apache-2.0
"""QEMU's monitor, of qemu-storage-daemon or of a QEMU with a guest.

The QEMU Machine Protocol is one JSON object a line: a greeting, then an
answer to each command, and events between them. What the process still had to
say to an earlier client that was killed comes first: the rest of a line, other
lines, then the greeting; what that client's last command returns may come
even later. (The library qemu.qmp is made for asyncio, which nothing else here
is.)
"""

from collections.abc import Callable
import json
import os
import secrets
import select
import socket
import time
from typing import Any

from ebackup_service.production import dial
from ebackup_service.production import errors
from ebackup_service.production import waits

# An answer that is longer is none: bytes.
_LONGEST = 32 << 20
_PIECE = 1 << 16


class Refused(Exception):
    """QEMU did not do what it was told, and says why.

    What it says may have parts of the command, so of a command with a secret
    it must not be shown.
    """


class Monitor:
    """A connection to a monitor, for one thread.

    Most monitors serve one client at a time: others wait to be greeted, so
    close it soon.

    :param path: of the UNIX socket
    :param timeout: seconds that an answer may take
    :param check: called while waiting; what it raises is passed on
    :raises SourceUnavailable: nobody answers there
    :raises AccessDenied: this process may not connect to the socket
    """

    def __init__(
        self, path: str, timeout: float, check: Callable[[], None]
    ) -> None:
        self._path = path
        self._timeout = timeout
        self._check = check
        self._received = bytearray()
        try:
            descriptor = dial.unix(path, timeout, check)
        except PermissionError as e:
            raise errors.AccessDenied(
                f"this proxy may not connect to QEMU's monitor {path}: let "
                'its user write to the socket'
            ) from e
        except OSError as e:
            raise self._unreachable(e.strerror or str(e)) from e
        self._socket = socket.socket(fileno=descriptor)
        try:
            self._await_greeting()
            self.execute('qmp_capabilities')
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> 'Monitor':
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """What the command returns.

        :param arguments: with ``_`` for ``-``
        :raises Refused: the command failed
        :raises SourceUnavailable: no answer; it may have been carried out
        """
        mine = secrets.token_hex(8)
        message = {
            'id': mine,
            'execute': command,
            'arguments': {
                name.replace('_', '-'): value
                for name, value in arguments.items()
            },
        }
        self._send(json.dumps(message).encode() + b'\n')
        while True:
            answer = self._object(self._line())
            # What QEMU can't parse has no id.
            if 'error' in answer and answer.get('id', mine) == mine:
                raise Refused(str(answer['error'].get('desc')))
            if 'return' in answer and answer.get('id') == mine:
                return answer['return']

    def close(self) -> None:
        self._socket.close()

    def _send(self, message: bytes) -> None:
        rest = memoryview(message)
        while rest:
            self._wait(select.POLLOUT)
            try:
                rest = rest[self._socket.send(rest) :]
            except OSError as e:
                raise self._unreachable(e.strerror or str(e)) from e

    def _await_greeting(self) -> None:
        end = time.monotonic() + self._timeout
        while b'"QMP"' not in self._line():
            if time.monotonic() >= end:
                raise self._unreachable('it says much, but no greeting')

    def _line(self) -> bytes:
        searched = 0
        while (end := self._received.find(b'\n', searched)) < 0:
            searched = len(self._received)
            if searched > _LONGEST:
                raise self._unreachable('it never ends an answer')
            self._wait(select.POLLIN)
            try:
                piece = self._socket.recv(_PIECE)
            except OSError as e:
                raise self._unreachable(e.strerror or str(e)) from e
            if not piece:
                raise self._unreachable('it hung up')
            self._received += piece
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def _object(self, line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except ValueError as e:
            raise self._unreachable('its answer is no JSON') from e
        if not isinstance(answer, dict):
            raise self._unreachable('its answer is no object')
        return answer

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        if not waits.until(
            lambda seconds: bool(poll.poll(seconds * 1000)),
            self._timeout,
            self._check,
        ):
            raise self._unreachable(f'no answer for {self._timeout:g} seconds')

    def _unreachable(self, why: str) -> errors.SourceUnavailable:
        return errors.SourceUnavailable(
            f"QEMU's monitor {os.path.basename(self._path)} can not be "
            f'reached: {why}; check the process that it belongs to'
        )
