# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a repository, one class per thing to do about it.

Messages name the cause first, then the object, then the remedy; they stay
below 255 characters, which is what Cinder keeps of a failure.
"""

from typing import ClassVar


class RepositoryError(Exception):
    """Base class. ``retryable``: the same call may succeed later."""

    retryable: ClassVar[bool] = False


class InvalidUrl(RepositoryError):
    """The URL names no place that a storage could know.

    The message has no part of it that may be secret.
    """


class StorageUnavailable(RepositoryError):
    """The backup storage can't be reached, or answers with I/O errors."""

    retryable = True


class ObjectUnreadable(StorageUnavailable):
    """An I/O error met an object: it is damaged, or the storage is away.

    ``unreadable`` finds out which.
    """


class StorageFull(RepositoryError):
    """The backup storage has no space, quota or inodes left."""

    retryable = True


class StorageReadOnly(RepositoryError):
    """The backup storage refuses to be written by anybody."""


class StorageDenied(RepositoryError):
    """The backup storage refuses to be read or written by this user."""


class ObjectExists(RepositoryError):
    """An object of that key is there; objects are never overwritten."""


class ObjectMissing(RepositoryError):
    """There is no object of that key."""


class ObjectTruncated(RepositoryError):
    """An object ends before the bytes that were asked for."""


class Corrupt(RepositoryError):
    """Bytes of the repository are not what was written.

    :ivar what: 'chunk', 'page', 'pack', 'root', 'commit', …
    :ivar name: the key of the object, or what else identifies it
    :ivar reason: what is wrong with it
    """

    def __init__(self, what: str, name: str, reason: str) -> None:
        super().__init__(f'Damaged {what} in {name}: {reason}'[:254])
        self.what = what
        self.name = name
        self.reason = reason


class PackMissing(Corrupt):
    """A pack is gone that a page or a root refers to."""

    def __init__(self, name: str) -> None:
        super().__init__('pack', name, 'it is missing')


class NotARepository(RepositoryError):
    """The place holds no repository, or there is no such place."""


class UnsupportedFormat(RepositoryError):
    """The repository needs a newer program, or another one."""


class ForeignOwner(RepositoryError):
    """The repository belongs to another service, or to a newer one."""


class CatalogOutdated(RepositoryError):
    """The catalog has lost, or never had, what the repository proves."""


class RepositoryMismatch(RepositoryError):
    """Another repository than expected is in this place."""


class ImageMissing(RepositoryError):
    """The repository has no such image."""


class ImageDeleted(RepositoryError):
    """The image has a tombstone; its id can't be used again."""
