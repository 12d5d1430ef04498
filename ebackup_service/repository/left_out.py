# SPDX-License-Identifier: Apache-2.0
"""What of a repository can't be read, though its storage answers.

A directory that can't be listed hides what is in it. Whoever may go on
without it does, and says so; whoever has to know all of it stops.
"""

from collections.abc import Callable, Iterator
import contextlib

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository.storage import base
from ebackup_service.repository import unreadable

# That are told; more are only known.
_TOLD = 100
# The directory that has all others.
_TOP = '.'


def whole(storage: base.Storage, prefix: str) -> Iterator[base.ObjectInfo]:
    """All objects whose key begins with the prefix, see Storage.list.

    What is known by its name only has a size of 0; whoever reads it is told.
    An object may come twice.

    :raises Corrupt: there may be more, since a directory can't be read
    :raises StorageUnavailable: the storage is away
    """
    return _list(storage, prefix, _stop)


class LeftOut:
    """What one job goes on without.

    For any number of threads, but for tell(): what was found is only added
    to, by single operations.
    """

    def __init__(self, storage: base.Storage) -> None:
        self._storage = storage
        self._found: dict[str, errors.Corrupt] = {}
        self._told = 0

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each, at most 100."""
        found = [*self._found.values()][:_TOLD]
        return tuple(str(error) for error in found)

    def tell(self, tell: Callable[[str], None]) -> None:
        """Tell what hasn't been told by this."""
        found = [*self._found.values()]
        for error in found[self._told :]:
            tell(str(error))
        self._told = len(found)

    def list(self, prefix: str) -> Iterator[base.ObjectInfo]:
        """See whole(); but what can't be listed is left out.

        :raises StorageUnavailable: the storage is away
        """
        return _list(self._storage, prefix, self.add)

    def delete(self, key: str) -> bool:
        """Delete an object, or leave it if that can't be done.

        :raises StorageUnavailable: the storage is away
        """
        try:
            self._storage.delete(key)
        except errors.ObjectUnreadable as error:
            self.note('object', key, error, 'removed')
            return False
        return True

    def note(
        self,
        what: str,
        key: str,
        error: errors.StorageUnavailable,
        done: str = 'read',
    ) -> None:
        """Leave something out, see unreadable.damaged.

        :raises StorageUnavailable: the storage is away
        """
        unreadable.probe(self._storage)
        self.add(unreadable.damaged(what, key, error, done))

    def add(self, error: errors.Corrupt) -> None:
        """Leave something out, or what is in a directory."""
        if self.above(error.name) is None:
            self._found[error.name] = error

    def above(self, key: str) -> str | None:
        """What was left out that a key names, or is below."""
        parts = key.split('/')
        above = ('/'.join(parts[:end]) for end in range(1, len(parts) + 1))
        for path in (_TOP, *above):
            if path in self._found:
                return path
        return None


def _list(
    storage: base.Storage, prefix: str, left: Callable[[errors.Corrupt], None]
) -> Iterator[base.ObjectInfo]:
    failed: list[str] = []
    yield from storage.list(prefix, lambda path, error: failed.append(path))
    for path in failed:
        yield from _again(storage, path, left)


def _again(
    storage: base.Storage, path: str, left: Callable[[errors.Corrupt], None]
) -> Iterator[base.ObjectInfo]:
    """List what could not be listed: it was away for a moment, perhaps."""
    unreadable.probe(storage)
    if layout.is_object(path):
        with contextlib.suppress(errors.ObjectMissing):
            yield base.ObjectInfo(path, _size(storage, path))
        return
    failed: dict[str, errors.ObjectUnreadable] = {}
    yield from storage.list(f'{path}/' if path else '', failed.__setitem__)
    for inner, error in failed.items():
        if inner == path:
            unreadable.probe(storage)
            left(unreadable.damaged('directory', path or _TOP, error))
        else:
            yield from _again(storage, inner, left)


def _size(storage: base.Storage, key: str) -> int:
    try:
        return storage.size(key)
    except errors.ObjectUnreadable:
        return 0


def _stop(error: errors.Corrupt) -> None:
    raise error
