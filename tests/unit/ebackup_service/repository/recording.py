# SPDX-License-Identifier: Apache-2.0
"""A storage that remembers what is done to it, and can stop in between."""

from collections.abc import Callable, Iterator, Sequence

from ebackup_service.repository.storage import base


class Crash(BaseException):
    """The process ends here; no handler of errors may see it."""


class RecordingStorage:
    """Wraps a storage.

    :ivar changes: (verb, key) of the calls that change something
    :ivar crash_before: number of the change before which the process ends
    """

    def __init__(self, wrapped: base.Storage) -> None:
        self._wrapped = wrapped
        self.capabilities = wrapped.capabilities
        self.changes: list[tuple[str, str]] = []
        self.crash_before: int | None = None

    def create(self, key: str, parts: Sequence[base.Buffer]) -> None:
        self._change('create', key)
        self._wrapped.create(key, parts)

    def replace(self, key: str, data: base.Buffer) -> None:
        self._change('replace', key)
        self._wrapped.replace(key, data)

    def read(self, key: str, fresh: bool = False) -> bytes:
        return self._wrapped.read(key, fresh)

    def read_into(self, key: str, offset: int, buffer: memoryview) -> None:
        self._wrapped.read_into(key, offset, buffer)

    def size(self, key: str) -> int:
        return self._wrapped.size(key)

    def list(
        self, prefix: str, unreadable: base.Unreadable | None = None
    ) -> Iterator[base.ObjectInfo]:
        return self._wrapped.list(prefix, unreadable)

    def delete(self, key: str) -> None:
        self._change('delete', key)
        self._wrapped.delete(key)

    def remove_stale(
        self,
        prefix: str,
        older_than: float,
        keep: Callable[[str], bool] | None = None,
        unreadable: base.Unreadable | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> int:
        return self._wrapped.remove_stale(
            prefix, older_than, keep, unreadable, check
        )

    def usage(self) -> base.Usage | None:
        return self._wrapped.usage()

    def close(self) -> None:
        self._wrapped.close()

    def _change(self, verb: str, key: str) -> None:
        if len(self.changes) == self.crash_before:
            raise Crash
        self.changes.append((verb, key))
