# SPDX-License-Identifier: Apache-2.0
"""A qemu-storage-daemon of our own, for one volume.

It can reach storages that the kernel can't, and exports them by NBD to
nobody but this process. It ends with its owner: a shell beside it kills it
when a pipe breaks that only the owner holds. Should the shell be killed as
well, clean() finds what is left, by the lock on its directory that nobody
holds any more.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time

from oslo_log import log

from ebackup_service.production import errors
from ebackup_service.production import qemu
from ebackup_service.production import qmp
from ebackup_service.production import waits

LOG = log.getLogger(__name__)

PROGRAM = 'qemu-storage-daemon'
_PREFIX = 'qemu-'
_LOCK, _PID, _READY = 'lock', 'pid', 'ready'
_PAUSE = 0.01
# Seconds that it has to say good-bye to the storage.
_GOODBYE = 2.0
# $1: where its process id goes; the rest is the command.
_SHELL = """
pid=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
echo $child >"$pid"
{ read -r _ <&3; kill -KILL $child; } 2>/dev/null &
exec 3<&-
wait $child
kill $! 2>/dev/null
"""


def check_installed() -> None:
    """:raises NotInstalled: there is no qemu-storage-daemon"""
    if shutil.which(PROGRAM) is None:
        raise errors.NotInstalled(
            f'{PROGRAM} is missing on this proxy: install it (Debian and '
            'Ubuntu: qemu-system-common)'
        )


class Process:
    """For one thread at a time.

    :param top: directory below which it has its own
    :param timeout: seconds that it may keep silent
    :param check: called while waiting; what it raises is passed on
    :raises SourceUnavailable: it does not start
    :raises NotInstalled: there is none

    :ivar socket: of its NBD server
    """

    def __init__(
        self, top: str, timeout: float, check: Callable[[], None]
    ) -> None:
        check_installed()
        self._timeout = timeout
        self._check = check
        try:
            os.makedirs(top, mode=0o700, exist_ok=True)
            with _locked(top):
                self._directory = tempfile.mkdtemp(prefix=_PREFIX, dir=top)
                self._lock = _open_locked(self._directory)
        except OSError as e:
            raise errors.SourceUnavailable(
                f'{e.strerror} while making a directory for {PROGRAM} in '
                f'{top}: let the user of this proxy write there'
            ) from e
        self.socket = os.path.join(self._directory, 'nbd')
        self._monitor = os.path.join(self._directory, 'qmp')
        # It writes this file when it has made all else.
        self._ready = os.path.join(self._directory, _READY)
        self._process = subprocess.Popen(
            [
                *('/bin/sh', '-c', _SHELL, 'sh'),
                os.path.join(self._directory, _PID),
                *(PROGRAM, '--nbd-server'),
                f'addr.type=unix,addr.path={self.socket},max-connections=0',
                '--chardev',
                f'socket,id=monitor,path={self._monitor},server=on,wait=off',
                *('--monitor', 'chardev=monitor', '--pidfile', self._ready),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            if not waits.until(self._started, timeout, check):
                # That says why not.
                self.monitor()
        except BaseException:
            self.end()
            raise

    def monitor(self) -> qemu.Qemu:
        """:raises SourceUnavailable: it doesn't answer"""
        monitor = qmp.Monitor(self._monitor, self._timeout, self._check)
        return qemu.Qemu(monitor, self._timeout)

    def end(self) -> None:
        """May be called twice. It never takes longer than some seconds."""
        process = self._process
        if process.stdin is None or process.stdin.closed:
            return
        with contextlib.suppress(errors.ProductionError, qmp.Refused):
            with qmp.Monitor(self._monitor, _GOODBYE, _go_on) as monitor:
                monitor.execute('quit')
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GOODBYE)
        process.stdin.close()
        process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)
        os.close(self._lock)

    def _started(self, seconds: float) -> bool:
        """Whether it answers.

        Who connects earlier, or without asking, may confuse it.

        :raises SourceUnavailable: it has ended
        """
        ended = self._process.poll() is not None
        if ended or os.path.exists(self._ready):
            try:
                with self.monitor():
                    return True
            except errors.SourceUnavailable:
                if ended:
                    raise
        time.sleep(min(seconds, _PAUSE))
        return False


def clean(top: str) -> None:
    """Kill the processes whose owner is gone, and remove their directories."""
    if not os.path.isdir(top):
        return
    with _locked(top):
        for name in os.listdir(top):
            if name.startswith(_PREFIX):
                _clean(os.path.join(top, name))


@contextlib.contextmanager
def _locked(top: str) -> Iterator[None]:
    """While directories are made or cleaned nobody else does so."""
    lock = _open_locked(top)
    try:
        yield
    finally:
        os.close(lock)


def _open_locked(directory: str, flags: int = fcntl.LOCK_EX) -> int:
    """A descriptor that locks a directory until it is closed."""
    path = os.path.join(directory, _LOCK)
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, flags)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _clean(directory: str) -> None:
    try:
        lock = _open_locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return  # its owner is there, or it has just been removed
    try:
        _kill(directory)
        shutil.rmtree(directory, ignore_errors=True)
        LOG.warning('Ended what was left of %s', directory)
    finally:
        os.close(lock)


def _kill(directory: str) -> None:
    """Kill the process of a directory, and no other that has its number."""
    try:
        with open(os.path.join(directory, _PID)) as file:
            number = int(file.read())
        process = os.pidfd_open(number)
    except (OSError, ValueError):
        return
    try:
        with open(f'/proc/{number}/cmdline', 'rb') as file:
            if os.fsencode(directory) in file.read():
                signal.pidfd_send_signal(process, signal.SIGKILL)
    except OSError:
        pass  # it has ended
    finally:
        os.close(process)


def _go_on() -> None:
    pass
