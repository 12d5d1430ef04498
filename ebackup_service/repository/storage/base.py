# SPDX-License-Identifier: Apache-2.0
"""The contract of a backup storage: named, immutable objects.

Keys are '/'-separated parts of [a-z0-9.-] that neither start with a dot nor
are empty. A storage may be used by many threads at once. Every method raises
StorageUnavailable when the storage can't be reached, and StorageDenied when
this user may not do it; methods that read, list or delete objects raise
ObjectUnreadable, which is a StorageUnavailable, when that may be due to the
object; methods that write raise StorageFull and StorageReadOnly.
tests/unit/ebackup_service/repository/storage/conformance.py holds what every
implementation, and every wrapper around one, must pass.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import re
from typing import Protocol

from ebackup_service.repository import errors

Buffer = bytes | bytearray | memoryview
# Called with a path that can't be read, instead of raising: a key, or what is
# before a '/' in keys.
Unreadable = Callable[[str, errors.ObjectUnreadable], None]

_KEY = re.compile(r'[a-z0-9-][a-z0-9.-]*(/[a-z0-9-][a-z0-9.-]*)*')
_KEY_LENGTH = 512


def valid_key(key: str) -> bool:
    """Whether a string may name an object."""
    return len(key) <= _KEY_LENGTH and _KEY.fullmatch(key) is not None


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing says of an object; ``size`` in bytes."""

    key: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of the whole storage, whoever uses them."""

    total: int
    free: int


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """What a storage guarantees beyond the contract.

    :ivar atomic_create: of two that create one key at once, one fails
    :ivar ranged_read: read_into moves only the bytes that are asked for
    :ivar reports_usage: usage() answers
    """

    atomic_create: bool
    ranged_read: bool
    reports_usage: bool


class Lists(Protocol):
    """What lists objects."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]: ...


class Storage(Protocol):
    """Ten verbs."""

    @property
    def capabilities(self) -> Capabilities: ...

    def create(self, key: str, parts: Sequence[Buffer]) -> None:
        """Make an object of the concatenated parts: all of it, or nothing.

        When the call returns, the object survives a power loss. May be called
        again after a failure, with the same bytes.

        :raises ObjectExists: the key is in use; nothing has been changed, and
            what is there survives a power loss, too, whoever made it
        """
        ...

    def replace(self, key: str, data: Buffer) -> None:
        """Put an object in the place of one that may be there, durably.

        Readers see the old bytes or the new ones.
        """
        ...

    def read(self, key: str, fresh: bool = False) -> bytes:
        """All bytes of an object. Callers ask for its size first.

        :param fresh: not from a cache of this host
        :raises ObjectMissing:
        """
        ...

    def read_into(self, key: str, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the object's bytes from an offset on.

        :raises ObjectMissing:
        :raises ObjectTruncated: the object ends before the buffer is full
        """
        ...

    def size(self, key: str) -> int:
        """Length of an object in bytes.

        :raises ObjectMissing:
        """
        ...

    def list(
        self, prefix: str, unreadable: Unreadable | None = None
    ) -> Iterator[ObjectInfo]:
        """All objects whose key begins with the prefix, in any order.

        The prefix is '' or ends with '/'. Complete for objects that exist
        during the whole listing; those that come and go may be missing.
        Names that are no keys are skipped.

        :param unreadable: called with what is left out, in full or in part,
            since it can't be read. None: that is raised
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object, if it is there.

        It may be back after a power loss.
        """
        ...

    def remove_stale(
        self,
        prefix: str,
        older_than: float,
        keep: Callable[[str], bool] | None = None,
        unreadable: Unreadable | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> int:
        """Remove what crashed or failed create() calls left half done.

        :param prefix: only for keys that begin with it
        :param older_than: seconds since it was last written to, by the
            storage's own clock
        :param keep: asked with the key that it was meant for; True spares it
        :param unreadable: called with what can't be read, or removed. None:
            that is raised
        :param check: called for each object, of which there may be many;
            raises to stop
        :returns: how many were removed
        """
        ...

    def usage(self) -> Usage | None:
        """Space of the storage, None where that can't be known."""
        ...

    def close(self) -> None:
        """Release descriptors and connections; may be called twice."""
        ...
