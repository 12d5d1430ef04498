# SPDX-License-Identifier: Apache-2.0
"""What NasStorage calls of the operating system, on disks in memory."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import errno
import fcntl
import functools
import os
import stat
import threading
import types
from typing import Any

import fixtures

from ebackup_service.repository.storage import direct
from ebackup_service.repository.storage import exclusive
from ebackup_service.repository.storage import nas
from ebackup_service.repository.storage import rooted
from tests.unit.ebackup_service.repository.storage import disk as disks

# Calls that change something.
CHANGES = frozenset(
    ['create', 'fsync', 'link', 'mkdir', 'rename', 'rmdir', 'unlink', 'write']
)
# Numbers that no real descriptor has.
_FIRST = 1_000_000
_SPACE = 2**40


def _call(name: str) -> Callable[[Any], Any]:
    """A method that is a call of the system: one at a time."""

    def decorate(method: Any) -> Any:
        @functools.wraps(method)
        def call(self: 'System', *args: Any, **kwargs: Any) -> Any:
            self.before(name)
            with self.lock:
                return method(self, *args, **kwargs)

        return call

    return decorate


class System:
    """In the place of modules of the system; for any number of threads.

    ``lock`` protects the disks and the open descriptors.

    :ivar disks: by the absolute path that they are mounted at
    :ivar before: called with the name of each call before it is made
    :ivar has_links: whether the disks know hard links
    :ivar has_exclusive_rename: whether they know renameat2()
    """

    path = os.path
    F_GETFL = fcntl.F_GETFL
    F_SETFL = fcntl.F_SETFL
    POSIX_FADV_DONTNEED = os.POSIX_FADV_DONTNEED

    def __init__(self) -> None:
        self.disks: dict[str, disks.Disk] = {}
        self.before: Callable[[str], None] = lambda call: None
        self.has_links = True
        self.has_exclusive_rename = True
        self.lock = threading.RLock()
        self._open: dict[int, tuple[disks.Disk, int]] = {}
        self._next = _FIRST

    def __getattr__(self, name: str) -> Any:
        # Of the real one, only what does nothing.
        if name.startswith('O_') or name in ('stat_result', 'strerror'):
            return getattr(os, name)
        raise AttributeError(f'{name} is not simulated')

    def open(
        self,
        path: str,
        flags: int,
        mode: int = 0o777,
        dir_fd: int | None = None,
    ) -> int:
        if dir_fd is None:
            return self._mount(path)
        if flags & os.O_CREAT:
            return self._make(path, dir_fd)
        return self._find(path, flags, dir_fd)

    def close(self, descriptor: int) -> None:
        with self.lock:
            self._at(descriptor)
            del self._open[descriptor]

    @_call('write')
    def write(self, descriptor: int, data: memoryview) -> int:
        disk, number = self._at(descriptor)
        disk.append(number, bytes(data))
        return len(data)

    @_call('fsync')
    def fsync(self, descriptor: int) -> None:
        disk, number = self._at(descriptor)
        disk.sync(number)

    @_call('read')
    def preadv(
        self, descriptor: int, buffers: Sequence[memoryview], offset: int
    ) -> int:
        disk, number = self._at(descriptor)
        (buffer,) = buffers
        data = disk.file(number).data[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        return len(data)

    def posix_fadvise(
        self, descriptor: int, offset: int, length: int, advice: int
    ) -> None:
        """A disk in memory has no cache."""

    @_call('stat')
    def fstat(self, descriptor: int) -> Any:
        return _status(*self._at(descriptor))

    @_call('stat')
    def stat(self, path: str, dir_fd: int, follow_symlinks: bool) -> Any:
        disk, start = self._at(dir_fd)
        return _status(disk, disk.find(path, start))

    @_call('scandir')
    @contextlib.contextmanager
    def scandir(self, descriptor: int) -> Iterator[Iterator[Any]]:
        disk, number = self._at(descriptor)
        yield iter(
            [
                types.SimpleNamespace(
                    name=name,
                    stat=lambda follow_symlinks, name=name: self._entry_status(
                        disk, number, name
                    ),
                )
                for name in disk.names(number)
            ]
        )

    def fstatvfs(self, descriptor: int) -> Any:
        self._at(descriptor)
        return types.SimpleNamespace(
            f_blocks=_SPACE, f_bavail=_SPACE, f_frsize=1
        )

    @_call('mkdir')
    def mkdir(self, path: str, mode: int, dir_fd: int) -> None:
        self._at(dir_fd)[0].make_directory(path)

    @_call('link')
    def link(
        self,
        source: str,
        target: str,
        src_dir_fd: int,
        dst_dir_fd: int,
        follow_symlinks: bool,
    ) -> None:
        if not self.has_links:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), source)
        self._at(dst_dir_fd)[0].link(source, target)

    @_call('rename')
    def rename(
        self, source: str, target: str, src_dir_fd: int, dst_dir_fd: int
    ) -> None:
        self._at(dst_dir_fd)[0].rename(source, target)

    @_call('rename')
    def rename_exclusively(
        self, source: str, target: str, directory: int
    ) -> None:
        if not self.has_exclusive_rename:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), source)
        disk, _ = self._at(directory)
        disk.link(source, target)
        disk.unlink(source)

    @_call('unlink')
    def unlink(self, path: str, dir_fd: int) -> None:
        self._at(dir_fd)[0].unlink(path)

    @_call('rmdir')
    def rmdir(self, path: str, dir_fd: int) -> None:
        self._at(dir_fd)[0].remove_directory(path)

    def fcntl(self, descriptor: int, command: int, flags: int = 0) -> int:
        self._at(descriptor)
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return 0

    @_call('open')
    def _mount(self, path: str) -> int:
        if path not in self.disks:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._opened(self.disks[path], disks.TOP)

    @_call('create')
    def _make(self, path: str, dir_fd: int) -> int:
        disk, _ = self._at(dir_fd)
        return self._opened(disk, disk.make_file(path))

    @_call('open')
    def _find(self, path: str, flags: int, dir_fd: int) -> int:
        disk, start = self._at(dir_fd)
        number = disk.find(path, start)
        if flags & os.O_DIRECTORY and not disk.is_directory(number):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return self._opened(disk, number)

    def _opened(self, disk: disks.Disk, number: int) -> int:
        self._next += 1
        self._open[self._next] = disk, number
        return self._next

    def _at(self, descriptor: int) -> tuple[disks.Disk, int]:
        if descriptor not in self._open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._open[descriptor]

    @_call('stat')
    def _entry_status(
        self, disk: disks.Disk, directory: int, name: str
    ) -> Any:
        return _status(disk, disk.find(name, directory))


class SystemFixture(fixtures.Fixture):
    """NasStorage works on ``system`` instead of the real one."""

    def _setUp(self) -> None:
        self.system = System()
        for module in (nas, rooted, direct):
            self.useFixture(
                fixtures.MockPatchObject(module, 'os', self.system)
            )
        self.useFixture(fixtures.MockPatchObject(direct, 'fcntl', self.system))
        self.useFixture(
            fixtures.MockPatchObject(
                exclusive, 'rename', self.system.rename_exclusively
            )
        )


def _status(disk: disks.Disk, number: int) -> Any:
    if disk.is_directory(number):
        return types.SimpleNamespace(st_mode=stat.S_IFDIR | 0o750)
    file = disk.file(number)
    return types.SimpleNamespace(
        st_mode=stat.S_IFREG | 0o640,
        st_dev=id(disk),
        st_ino=number,
        st_size=len(file.data),
        st_mtime=file.mtime,
    )
