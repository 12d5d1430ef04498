# SPDX-License-Identifier: Apache-2.0
"""From the URL of a repository to its storage.

Storages are found by stevedore in the namespace ``ebackup.repository.storage``
under the scheme of the URL; file: is ``nas``. A storage is a class with
``from_url(url: urllib.parse.SplitResult, make: bool) -> base.Storage``.
"""

from typing import Any
import urllib.parse

import stevedore
from stevedore import exception

from ebackup_service.repository.storage import base
from ebackup_service.repository.storage import nas

NAMESPACE = 'ebackup.repository.storage'
_NAMES = {'file': 'nas'}


def open_storage(url: str, make: bool = False) -> base.Storage:
    """Open the storage that a URL names.

    :param make: create the place itself (a directory, not those above it)
        where there is none: for new repositories
    :raises ValueError: the URL is malformed, or nothing knows its scheme
    :raises StorageUnavailable: the storage can't be reached
    """
    parts = urllib.parse.urlsplit(url)
    name = _NAMES.get(parts.scheme, parts.scheme)
    if name == 'nas':
        # Built in: works in a source tree that isn't installed, too.
        return nas.NasStorage.from_url(parts, make)
    try:
        manager: stevedore.DriverManager[Any] = stevedore.DriverManager(
            NAMESPACE, name
        )
    except exception.NoMatches as error:
        raise ValueError(
            f'No storage for {parts.scheme!r} URLs; file:///path is one that '
            'works'
        ) from error
    driver: Any = manager.driver
    storage: base.Storage = driver.from_url(parts, make)
    return storage
