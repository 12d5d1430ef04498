# SPDX-License-Identifier: Apache-2.0
"""A storage of which some paths can't be read."""

from collections.abc import Iterator
import errno
import os

from ebackup_service.repository import errors
from ebackup_service.repository.storage import base
from tests.unit.ebackup_service.repository import recording


class UnlistableStorage(recording.RecordingStorage):
    """Wraps a storage.

    :ivar bad: path that can't be read -> how often
    :ivar late: whether what is in a directory is listed before that fails
    :ivar away: whether nothing can be read
    """

    def __init__(self, wrapped: base.Storage) -> None:
        super().__init__(wrapped)
        self.bad: dict[str, int] = {}
        self.late = False
        self.away = False

    def read(self, key: str, fresh: bool = False) -> bytes:
        if self.away:
            raise errors.StorageUnavailable('away')
        return super().read(key, fresh)

    def size(self, key: str) -> int:
        if self._is_bad(key):
            raise _unreadable(key)
        return super().size(key)

    def list(
        self, prefix: str, unreadable: base.Unreadable | None = None
    ) -> Iterator[base.ObjectInfo]:
        met = set()
        for info in super().list(prefix):
            parts = info.key.split('/')
            above = [
                '',
                *('/'.join(parts[: n + 1]) for n in range(len(parts))),
            ]
            hidden = next(
                (
                    path
                    for path in above
                    if f'{path}/'.startswith(prefix)
                    or path == prefix.rstrip('/')
                    if path in met or self._is_bad(path)
                ),
                None,
            )
            if self.late or hidden is None:
                yield info
            if hidden is not None and hidden not in met:
                met.add(hidden)
                if unreadable is None:
                    raise _unreadable(hidden)
                unreadable(hidden, _unreadable(hidden))

    def delete(self, key: str) -> None:
        if self._is_bad(key):
            raise _unreadable(key)
        super().delete(key)

    def _is_bad(self, path: str) -> bool:
        if not self.bad.get(path):
            return False
        self.bad[path] -= 1
        return True


def _unreadable(path: str) -> errors.ObjectUnreadable:
    error = errors.ObjectUnreadable(f'I/O error at {path}')
    error.__cause__ = OSError(errno.EIO, os.strerror(errno.EIO))
    return error
