# SPDX-License-Identifier: Apache-2.0
"""Decides whether a path that came over the network may be opened.

A caller who may name any path may read and write any disk of this host. So
a path is resolved once, must then lie below a configured root and be a block
device or, outside /dev, a regular file, and what is opened must be the very
thing that was looked at: between the look and the opening somebody may have
put something else under the name. After that only the descriptor is used.
"""

import errno
import os
import stat
from typing import NamedTuple

from ebackup_service.production import errors

# Never follow a link that appeared since, never block on a device that waits
# for a medium, never become the controlling terminal.
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY

# Characters of a path in a message: Cinder keeps 255 of the whole.
_SHOWN = 120

_KINDS = {
    stat.S_IFCHR: 'a character device',
    stat.S_IFDIR: 'a directory',
    stat.S_IFIFO: 'a named pipe',
    stat.S_IFSOCK: 'a socket',
    stat.S_IFLNK: 'a symbolic link',
}


class Place(NamedTuple):
    """A path that may be opened.

    given: as the caller named it, for messages: see shown()
    path: without any symbolic link
    status: what was there when it was looked at
    """

    given: str
    path: str
    status: os.stat_result

    @property
    def is_device(self) -> bool:
        return stat.S_ISBLK(self.status.st_mode)


def shown(path: str) -> str:
    """A path as messages have it: what is wrong with it has to fit in, too.

    The ends of a long one tell where it is, and which.
    """
    if len(path) <= _SHOWN:
        return path
    half = _SHOWN // 2 - 1
    return f'{path[:half]}…{path[-half:]}'


def look(given: str, roots: list[str]) -> Place:
    """Resolve and check; opens nothing.

    What lies outside the roots is forbidden whether it exists or not, so that
    nobody learns what exists there.

    :raises: PathForbidden, PathUnknown
    """
    name = shown(given)
    if not given.startswith('/') or '\0' in given:
        raise errors.PathForbidden(
            f'{name!r} is not an absolute path of a volume'
        )
    path = os.path.realpath(given)
    if not any(_is_below(path, os.path.realpath(root)) for root in roots):
        raise errors.PathForbidden(
            f'{name} is outside the directories that this proxy may open: '
            "add its directory to [proxy] attached_roots if volumes' paths "
            'are there'
        )
    try:
        status = os.lstat(path)
    except OSError as e:
        raise errors.PathUnknown(
            f'{name} does not exist on this host ({e.strerror}): '
            'is the volume attached here?'
        ) from e
    kind = stat.S_IFMT(status.st_mode)
    if kind not in (stat.S_IFBLK, stat.S_IFREG):
        raise errors.PathForbidden(
            f'{name} is {_KINDS.get(kind, "of an unknown type")}, '
            'neither a block device nor a regular file'
        )
    if kind == stat.S_IFREG and _is_below(path, '/dev'):
        # /dev/shm, above all, where everybody may put files.
        raise errors.PathForbidden(
            f'{name} is a regular file, and below /dev only block devices '
            'are volumes'
        )
    return Place(name, path, status)


def open_place(place: Place, flags: int) -> int:
    """Open what look() saw, and nothing else; returns a descriptor.

    :raises: PathReplaced, PathBusy, PathForbidden, OSError
    """
    try:
        descriptor = os.open(place.path, flags | _FLAGS)
    except OSError as e:
        if e.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR):
            raise _replaced(place) from e
        if e.errno in (errno.EBUSY, errno.ETXTBSY):
            raise errors.PathBusy(
                f'{place.given} is mounted or in use on this host: '
                'unmount or release it, then try again'
            ) from e
        if e.errno == errno.EROFS:
            raise errors.PathForbidden(
                f'{place.given} is read-only for the proxy: mount its file '
                'system writable, or, if a systemd unit has ProtectSystem, '
                'add it to ReadWritePaths'
            ) from e
        if e.errno in (errno.EACCES, errno.EPERM):
            raise errors.PathForbidden(
                f'the proxy may not open {place.given} ({e.strerror}): '
                "add the proxy's user to the group that owns it"
            ) from e
        raise
    try:
        _check_same(place, descriptor)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip('/') + '/')


def _check_same(place: Place, descriptor: int) -> None:
    seen, opened = place.status, os.fstat(descriptor)
    same = (
        os.path.samestat(seen, opened)
        and seen.st_rdev == opened.st_rdev
        and stat.S_IFMT(seen.st_mode) == stat.S_IFMT(opened.st_mode)
        # A directory of the path may have become a link before look() asked
        # for the status: the kernel knows the name of what it opened.
        and os.readlink(f'/proc/self/fd/{descriptor}') == place.path
    )
    if not same:
        raise _replaced(place)


def _replaced(place: Place) -> errors.PathReplaced:
    return errors.PathReplaced(
        f'{place.given} was replaced while it was being opened: '
        'check what else works on this path, then try again'
    )
