# SPDX-License-Identifier: Apache-2.0
"""A storage whose calls are values: somebody else decides what they meet."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ebackup_service.repository import errors
from ebackup_service.repository.storage import base


class Call(NamedTuple):
    """One step of a process, to the storage or to another party."""

    party: str
    verb: str
    arguments: tuple[Any, ...] = ()

    def __str__(self) -> str:
        shown = [
            f'{len(argument)} bytes'
            if isinstance(argument, bytes)
            else str(argument)
            for argument in self.arguments
        ]
        return f'{self.party} {self.verb} {" ".join(shown)}'


class Raised(NamedTuple):
    """A result that is an exception."""

    type: type[Exception]
    message: str


# Makes a call, and returns what it met.
Caller = Callable[[Call], Any]
STORAGE = 'storage'


class Objects:
    """What a storage holds; never changes, and is hashed once.

    :ivar fragile: keys of objects that a power loss would take away, until
        somebody creates them again
    """

    __slots__ = ('_by_key', '_hash', 'fragile')

    def __init__(
        self, by_key: dict[str, bytes], fragile: frozenset[str] = frozenset()
    ) -> None:
        self._by_key = by_key
        self.fragile = fragile.intersection(by_key)
        self._hash = hash((frozenset(by_key.items()), self.fragile))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Objects)
            and self._by_key == other._by_key
            and self.fragile == other.fragile
        )

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def below(self, *prefixes: str) -> 'Objects':
        """Those whose keys begin with one of these."""
        return Objects(
            {k: v for k, v in self._by_key.items() if k.startswith(prefixes)}
        )

    def made_fragile(self, key: str) -> 'Objects':
        """The same, but that one isn't durable."""
        return Objects(self._by_key, self.fragile | {key})

    def perform(self, call: Call) -> tuple['Objects', Any]:
        """What a call leaves, and what it returns, at one instant."""
        return getattr(self, f'_{call.verb}')(*call.arguments)

    def _create(self, key: str, data: bytes) -> tuple['Objects', Any]:
        if key in self._by_key:
            durable = self
            if key in self.fragile:
                durable = Objects(self._by_key, self.fragile - {key})
            return durable, Raised(errors.ObjectExists, key)
        return Objects({**self._by_key, key: data}, self.fragile), None

    def _delete(self, key: str) -> tuple['Objects', Any]:
        if key not in self._by_key:
            return self, None
        left = {k: v for k, v in self._by_key.items() if k != key}
        return Objects(left, self.fragile), None

    def _read(self, key: str) -> tuple['Objects', Any]:
        if key not in self._by_key:
            return self, Raised(errors.ObjectMissing, key)
        return self, self._by_key[key]

    def _read_into(
        self, key: str, offset: int, length: int
    ) -> tuple['Objects', Any]:
        if key not in self._by_key:
            return self, Raised(errors.ObjectMissing, key)
        data = self._by_key[key][offset : offset + length]
        if len(data) != length:
            return self, Raised(errors.ObjectTruncated, key)
        return self, data

    def _size(self, key: str) -> tuple['Objects', Any]:
        if key not in self._by_key:
            return self, Raised(errors.ObjectMissing, key)
        return self, len(self._by_key[key])

    def _list(self, prefix: str) -> tuple['Objects', Any]:
        found = [
            base.ObjectInfo(key, len(data))
            for key, data in sorted(self._by_key.items())
            if key.startswith(prefix)
        ]
        return self, tuple(found)


class StepwiseStorage:
    """Turns each verb into a call."""

    capabilities = base.Capabilities(
        atomic_create=True, ranged_read=True, reports_usage=False
    )

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, key: str, parts: Sequence[base.Buffer]) -> None:
        self._call('create', key, b''.join(bytes(part) for part in parts))

    def read(self, key: str, fresh: bool = False) -> bytes:
        return self._call('read', key)

    def read_into(self, key: str, offset: int, buffer: memoryview) -> None:
        buffer[:] = self._call('read_into', key, offset, len(buffer))

    def size(self, key: str) -> int:
        return self._call('size', key)

    def list(
        self, prefix: str, unreadable: base.Unreadable | None = None
    ) -> Iterator[base.ObjectInfo]:
        return iter(self._call('list', prefix))

    def delete(self, key: str) -> None:
        self._call('delete', key)

    def remove_stale(
        self,
        prefix: str,
        older_than: float,
        keep: Callable[[str], bool] | None = None,
        unreadable: base.Unreadable | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> int:
        """What is created is there whole or not at all."""
        return 0

    def usage(self) -> base.Usage | None:
        return None

    def close(self) -> None:
        pass

    def _call(self, verb: str, *arguments: Any) -> Any:
        result = self._caller(Call(STORAGE, verb, arguments))
        if isinstance(result, Raised):
            raise result.type(result.message)
        return result


class ObjectsStorage(StepwiseStorage):
    """A storage that is alone with its objects.

    :ivar objects: what it holds by now
    """

    def __init__(self, objects: Objects) -> None:
        super().__init__(self._perform)
        self.objects = objects

    def _perform(self, call: Call) -> Any:
        self.objects, result = self.objects.perform(call)
        return result
