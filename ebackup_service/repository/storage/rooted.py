# SPDX-License-Identifier: Apache-2.0
"""Files below one directory, found from its descriptor only.

A mount that goes away, or comes back as another one, can't lead us elsewhere:
every path is relative to the descriptor that was opened at the start. Raises
OSError; what it means to a storage is for the caller to say.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import errno
import os
import re
import stat
import uuid

from ebackup_service.repository.storage import base
from ebackup_service.repository.storage import direct
from ebackup_service.repository.storage import exclusive

_TEMPORARY = re.compile(r'\.([a-z0-9.-]+)\.[0-9a-f]{32}\.tmp')
# Not to wait for a writer if somebody put a pipe there.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_EXCLUSIVE_RENAME = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
_REMEMBERED = 1024
# Somebody may remove an empty directory between our making and using it.
_ATTEMPTS = 8


def key_of_temporary(path: str) -> str | None:
    """The key that a temporary file was meant for; None: it is none."""
    directory, _, name = path.rpartition('/')
    match = _TEMPORARY.fullmatch(name)
    if match is None:
        return None
    return f'{directory}/{match[1]}' if directory else match[1]


class RootedDirectory:
    """See above; for any number of threads.

    They share the descriptor, which only close() changes, and ``_synced``,
    the directories that this process knows to be durable: a cache, whose
    single operations are atomic. It doesn't notice if others remove a
    directory that has become empty and make it anew; in a repository only a
    session or an image that has ended leaves an empty one, and its name isn't
    used again.
    """

    def __init__(self, path: str) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._synced: set[str] = set()

    def close(self) -> None:
        root, self._root = self._root, -1
        if root >= 0:
            os.close(root)

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[int]:
        """A descriptor of a regular file, for reading."""
        descriptor = os.open(path, _READ, dir_fd=self._root)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileNotFoundError(errno.ENOENT, 'No regular file', path)
            yield descriptor
        finally:
            os.close(descriptor)

    def write_temporary(self, path: str, parts: Sequence[base.Buffer]) -> str:
        """Write a durable file beside ``path`` and return its path."""
        directory, _, name = path.rpartition('/')
        temporary = os.path.join(directory, f'.{name}.{uuid.uuid4().hex}.tmp')
        descriptor = self._open_new(temporary)
        try:
            try:
                direct.write_all(descriptor, parts)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                self.unlink(temporary)
            raise
        return temporary

    def link(self, temporary: str, path: str) -> None:
        """Give a temporary file its name.

        :raises FileExistsError: the name is in use
        :raises OSError: it could not be done, and has not been done
        """
        ours = self._status(temporary)
        try:
            self._link_or_rename(temporary, path)
        except OSError as error:
            if not self._is(path, ours):
                raise
            # It was done: only its answer was lost. NFS repeats a request
            # then, and the name is in use by this very file.
            if not isinstance(error, FileExistsError):
                self.unlink(path)
                raise

    def rename(self, temporary: str, path: str) -> None:
        """Give a temporary file its name, whatever had it before."""
        os.rename(
            temporary, path, src_dir_fd=self._root, dst_dir_fd=self._root
        )

    def unlink(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path, dir_fd=self._root)

    def sync(self, directory: str) -> None:
        """Make the names in a directory durable, and its own name too."""
        self._sync_one(directory)
        if directory in self._synced:
            return
        # Others may have made the directories above and not synced them yet,
        # so it takes all of them, once.
        above = directory
        while above:
            above = os.path.dirname(above)
            self._sync_one(above)
        if len(self._synced) >= _REMEMBERED:
            self._synced.clear()
        self._synced.add(directory)

    def prune(self, directory: str) -> None:
        """Remove a directory and those above it while they are empty.

        Not the top ones: an empty repository has them as well.
        """
        while '/' in directory:
            self._synced.discard(directory)
            try:
                os.rmdir(directory, dir_fd=self._root)
            except FileNotFoundError:
                pass
            except OSError:
                return
            directory = os.path.dirname(directory)

    def walk(
        self, prefix: str, failed: Callable[[str, OSError], None]
    ) -> Iterator[tuple[str, os.stat_result]]:
        """All regular files whose path begins with prefix ('' or 'a/b/').

        :param failed: called with what can't be read, which is left out
        """
        directory = prefix.rstrip('/')
        try:
            descriptor = os.open(
                directory or '.', _DIRECTORY, dir_fd=self._root
            )
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            failed(directory, error)
            return
        inner = []
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    path = f'{directory}/{entry.name}'.lstrip('/')
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        failed(path, error)
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        inner.append(path)
                    elif stat.S_ISREG(status.st_mode):
                        yield path, status
        except OSError as error:
            failed(directory, error)
        finally:
            os.close(descriptor)
        for path in inner:
            yield from self.walk(f'{path}/', failed)

    def space(self) -> os.statvfs_result:
        return os.fstatvfs(self._root)

    def clock(self) -> float:
        """Seconds by the clock that gives this file system's files theirs."""
        name = f'.clock.{uuid.uuid4().hex}.tmp'
        descriptor = os.open(name, _NEW, 0o640, dir_fd=self._root)
        try:
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
            self.unlink(name)

    def _open_new(self, path: str) -> int:
        directory = os.path.dirname(path)
        for _ in range(_ATTEMPTS):
            try:
                return os.open(path, _NEW, 0o640, dir_fd=self._root)
            except FileNotFoundError:
                if not directory:
                    raise
                self._make(directory)
        raise FileNotFoundError(errno.ENOENT, 'No such directory', directory)

    def _make(self, directory: str) -> None:
        self._synced.discard(directory)
        done = ''
        for part in directory.split('/'):
            done = os.path.join(done, part)
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.mkdir(done, 0o750, dir_fd=self._root)

    def _sync_one(self, directory: str) -> None:
        descriptor = os.open(directory or '.', _DIRECTORY, dir_fd=self._root)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems can't, and have nothing to sync.
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)

    def _link_or_rename(self, temporary: str, path: str) -> None:
        try:
            os.link(
                temporary,
                path,
                src_dir_fd=self._root,
                dst_dir_fd=self._root,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._rename_to_new(temporary, path)

    def _rename_to_new(self, temporary: str, path: str) -> None:
        """Where there are no hard links: on FAT, SMB, some FUSE."""
        try:
            exclusive.rename(temporary, path, self._root)
        except OSError as error:
            if error.errno not in _NO_EXCLUSIVE_RENAME:
                raise
            self._reserve_and_rename(temporary, path)

    def _reserve_and_rename(self, temporary: str, path: str) -> None:
        # The empty file that a crash leaves here is no valid object of any
        # kind, and is nobody's: nothing was acknowledged.
        os.close(os.open(path, _NEW, 0o640, dir_fd=self._root))
        try:
            self.rename(temporary, path)
        except OSError:
            self.unlink(path)
            raise

    def _is(self, path: str, status: os.stat_result) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samestat(self._status(path), status)
        return False

    def _status(self, path: str) -> os.stat_result:
        return os.stat(path, dir_fd=self._root, follow_symlinks=False)
