# SPDX-License-Identifier: Apache-2.0
"""A directory, local or on a NAS, as backup storage.

An object is a file. It is written under a temporary name in its directory,
synced, linked to its name, and the directory is synced: link() fails when the
name is in use, so nothing is ever overwritten, and works on NFS.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import errno
import os
from typing import Self
import urllib.parse

from ebackup_service.repository import errors
from ebackup_service.repository.storage import base
from ebackup_service.repository.storage import oserror
from ebackup_service.repository.storage import rooted

# What says that a directory is missing, or that nobody may make one here.
_NOT_MADE = {
    errno.EACCES,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
# Of a create whose temporary file somebody removes.
_ATTEMPTS = 3


class NasStorage:
    """See base.Storage. All state is in RootedDirectory."""

    capabilities = base.Capabilities(
        atomic_create=True, ranged_read=True, reports_usage=True
    )

    def __init__(self, path: str, make: bool = False) -> None:
        """Open the directory ``path``; ``make`` it if only it is missing.

        :raises StorageUnavailable: it is missing or no directory
        :raises StorageDenied: this user may not open it
        :raises NotARepository: it is missing, and can't be made
        """
        if make:
            _make(path)
        try:
            with oserror.reading(path):
                self._files = rooted.RootedDirectory(path)
        except errors.ObjectMissing as error:
            raise errors.StorageUnavailable(
                "The repository's directory is missing or no directory: "
                f'{path}; mount it, or correct the URL'
            ) from error
        self._path = path

    @classmethod
    def from_url(
        cls, url: urllib.parse.SplitResult, make: bool = False
    ) -> Self:
        """Open file:///path.

        :raises InvalidUrl: see directory()
        """
        return cls(directory(url), make)

    def create(self, key: str, parts: Sequence[base.Buffer]) -> None:
        with self._writing(key):
            for attempt in range(_ATTEMPTS):
                try:
                    self._create(key, parts)
                    return
                except FileNotFoundError:
                    # A collection took our temporary file for one that a
                    # crash left: clocks of file systems are coarse.
                    if attempt == _ATTEMPTS - 1:
                        raise

    def replace(self, key: str, data: base.Buffer) -> None:
        with self._writing(key):
            temporary = self._files.write_temporary(key, [data])
            try:
                self._files.rename(temporary, key)
            except OSError:
                self._discard(temporary)
                raise
            self._files.sync(os.path.dirname(key))

    def read(self, key: str, fresh: bool = False) -> bytes:
        with self._reading(key) as descriptor:
            if fresh:
                # Clean pages are forgotten, and others there are none.
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            buffer = bytearray(os.fstat(descriptor).st_size)
            self._fill(descriptor, key, 0, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, key: str, offset: int, buffer: memoryview) -> None:
        with self._reading(key) as descriptor:
            self._fill(descriptor, key, offset, buffer)

    def size(self, key: str) -> int:
        with self._reading(key) as descriptor:
            return os.fstat(descriptor).st_size

    def list(
        self, prefix: str, unreadable: base.Unreadable | None = None
    ) -> Iterator[base.ObjectInfo]:
        failed = self._failed(unreadable)
        for path, status in self._files.walk(prefix, failed):
            if base.valid_key(path):
                yield base.ObjectInfo(path, status.st_size)

    def delete(self, key: str) -> None:
        _check(key)
        with oserror.deleting(f'{self._path}/{key}'):
            self._files.unlink(key)
            self._files.prune(os.path.dirname(key))

    def remove_stale(
        self,
        prefix: str,
        older_than: float,
        keep: Callable[[str], bool] | None = None,
        unreadable: base.Unreadable | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> int:
        removed = 0
        now: float | None = None
        failed = self._failed(unreadable)
        for path, status in self._files.walk(prefix, failed):
            check()
            key = rooted.key_of_temporary(path)
            if key is None or (keep is not None and keep(key)):
                continue
            if now is None:
                with oserror.writing(f'{self._path}/{prefix}'):
                    now = self._files.clock()
            if status.st_mtime <= now - older_than:
                removed += self._remove(path, unreadable)
        return removed

    def usage(self) -> base.Usage | None:
        with oserror.reading(self._path):
            status = self._files.space()
        return base.Usage(
            total=status.f_blocks * status.f_frsize,
            free=status.f_bavail * status.f_frsize,
        )

    def close(self) -> None:
        self._files.close()

    def _create(self, key: str, parts: Sequence[base.Buffer]) -> None:
        temporary = self._files.write_temporary(key, parts)
        try:
            self._files.link(temporary, key)
        except FileExistsError as error:
            # Who is told so relies on it, and whoever made it may have been
            # stopped before it was durable.
            self._files.sync(os.path.dirname(key))
            raise errors.ObjectExists(
                f'Object {self._path}/{key} exists already'
            ) from error
        finally:
            self._discard(temporary)
        try:
            self._files.sync(os.path.dirname(key))
        except OSError:
            # Nobody may build on what a power loss could take away.
            self._discard(key)
            raise

    def _remove(self, path: str, unreadable: base.Unreadable | None) -> bool:
        try:
            with oserror.deleting(f'{self._path}/{path}'):
                self._files.unlink(path)
                self._files.prune(os.path.dirname(path))
        except errors.ObjectUnreadable as error:
            if unreadable is None:
                raise
            unreadable(path, error)
            return False
        return True

    def _failed(
        self, unreadable: base.Unreadable | None
    ) -> Callable[[str, OSError], None]:
        """What to do about a path that can't be read."""

        def failed(path: str, error: OSError) -> None:
            try:
                with oserror.reading(f'{self._path}/{path}'):
                    raise error
            except errors.ObjectUnreadable as found:
                if unreadable is None:
                    raise
                # Below what is no part of a key there are no objects.
                if not path or base.valid_key(path):
                    unreadable(path, found)

        return failed

    def _discard(self, path: str) -> None:
        # A failure changes nothing; what stays is for remove_stale.
        with contextlib.suppress(OSError):
            self._files.unlink(path)

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[int]:
        _check(key)
        with oserror.reading(f'{self._path}/{key}'):
            with self._files.opened(key) as descriptor:
                yield descriptor

    @contextlib.contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        _check(key)
        with oserror.writing(f'{self._path}/{key}'):
            yield

    def _fill(
        self, descriptor: int, key: str, offset: int, buffer: memoryview
    ) -> None:
        done = 0
        while done < len(buffer):
            count = os.preadv(descriptor, [buffer[done:]], offset + done)
            if count == 0:
                raise errors.ObjectTruncated(
                    f'Object {self._path}/{key} ends at byte {offset + done}, '
                    f'{len(buffer) - done} bytes early; the repository is '
                    'damaged'
                )
            done += count


def directory(url: urllib.parse.SplitResult) -> str:
    """The path in file:///path.

    :raises InvalidUrl: the URL has a host, a query, or no absolute path
    """
    path = urllib.parse.unquote(url.path)
    others = {
        'a host': url.netloc,
        'a query': url.query,
        'a fragment': url.fragment,
    }
    found = [part for part, content in others.items() if content]
    if found or path[:1] != '/' or '\0' in path:
        raise errors.InvalidUrl(
            'The URL of the repository has '
            f'{" and ".join(found) or "no absolute path"}; that of a '
            'directory is file:///absolute/path'
        )
    return path


def _make(path: str) -> None:
    """Make a directory that is missing."""
    with oserror.writing(path):
        try:
            os.mkdir(path, 0o750)
        except OSError as error:
            if os.path.lexists(path):
                return
            if error.errno not in _NOT_MADE:
                raise
            raise errors.NotARepository(
                "The repository's directory is missing or out of reach, and "
                f"can't be made ({error.strerror}): {path}; mount it, make it "
                "and let the proxy's user own it, or correct the URL"
            ) from error


def _check(key: str) -> None:
    if not base.valid_key(key):
        raise ValueError(f'not a key: {key!r}')
