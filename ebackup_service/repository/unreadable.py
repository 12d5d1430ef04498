# SPDX-License-Identifier: Apache-2.0
"""Whether an object is damaged, or the storage away.

A bad sector and a cable that was pulled come to the same I/O error. But of a
storage that is away nothing else can be read, either.
"""

from collections.abc import Callable
from typing import TypeVar

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository.storage import base

_T = TypeVar('_T')


def attempt(
    storage: base.Storage, what: str, key: str, read: Callable[[], _T]
) -> _T:
    """What a function reads of an object, which is called again if it fails.

    :param what: 'pack', 'root', ...; see errors.Corrupt
    :raises Corrupt: it can't be read twice, while the storage answers
    :raises StorageUnavailable: the storage is away
    """
    try:
        return read()
    except errors.ObjectUnreadable:
        # Away for a moment, perhaps.
        probe(storage)
    try:
        return read()
    except errors.ObjectUnreadable as error:
        probe(storage)
        raise damaged(what, key, error) from error


def damaged(
    what: str,
    key: str,
    error: errors.StorageUnavailable,
    done: str = 'read',
) -> errors.Corrupt:
    """What an error means, if the storage answers all the same.

    :param done: what can't be done to the object
    """
    return errors.Corrupt(what, key, f'it can not be {done}: {_cause(error)}')


def probe(storage: base.Storage) -> None:
    """Make sure that a repository's storage answers.

    By the object that is there as long as the repository, which is never
    changed.

    :raises StorageUnavailable: it doesn't, or has no repository any more
    """
    try:
        storage.read(layout.REPOSITORY, fresh=True)
    except errors.ObjectMissing as error:
        raise errors.StorageUnavailable(
            f'{layout.REPOSITORY} is gone; check that the storage of the '
            'repository is mounted'
        ) from error


def _cause(error: errors.StorageUnavailable) -> str:
    if isinstance(error.__cause__, OSError):
        return error.__cause__.strerror or str(error.__cause__)
    return str(error)
