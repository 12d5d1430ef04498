# SPDX-License-Identifier: Apache-2.0
"""From the URL of a repository to its storage.

Storages are found by stevedore in the namespace ``ebackup.repository.storage``
under the scheme of the URL; file: is ``nas``. A storage is a class with
``from_url(url: urllib.parse.SplitResult, make: bool) -> base.Storage``, which
raises what open_storage does. It has to be installed where the API is, too.
"""

from importlib import metadata
from typing import Any
import urllib.parse

import stevedore
from stevedore import exception

from ebackup_service.repository import errors
from ebackup_service.repository.storage import base
from ebackup_service.repository.storage import nas

NAMESPACE = 'ebackup.repository.storage'
_NAMES = {'file': 'nas'}


def check_url(url: str) -> None:
    """Look at a URL only, before it is written down anywhere.

    :raises InvalidUrl: see open_storage
    """
    parts = _split(url)
    name = _name(parts)
    if name == 'nas':
        nas.directory(parts)
    elif not metadata.entry_points(group=NAMESPACE, name=name):
        raise _unknown(parts)


def open_storage(url: str, make: bool = False) -> base.Storage:
    """Open the storage that a URL names.

    :param make: create the place itself (a directory, not those above it)
        where there is none: for new repositories
    :raises InvalidUrl: the URL is malformed, nothing knows its scheme, or it
        has a user or a password
    :raises StorageUnavailable: the storage can't be reached
    """
    parts = _split(url)
    name = _name(parts)
    if name == 'nas':
        # Built in: works in a source tree that isn't installed, too.
        return nas.NasStorage.from_url(parts, make)
    try:
        manager: stevedore.DriverManager[Any] = stevedore.DriverManager(
            NAMESPACE, name
        )
    except exception.NoMatches as error:
        raise _unknown(parts) from error
    driver: Any = manager.driver
    storage: base.Storage = driver.from_url(parts, make)
    return storage


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        # Its message may have a part of the URL in it that is secret.
        raise errors.InvalidUrl(
            'The URL of the repository is malformed; a directory is '
            'file:///absolute/path'
        ) from None
    if '@' in parts.netloc:
        raise errors.InvalidUrl(
            'The URL of the repository has a user or a password in it, which '
            'would be shown and logged; leave them out'
        )
    return parts


def _name(parts: urllib.parse.SplitResult) -> str:
    return _NAMES.get(parts.scheme, parts.scheme)


def _unknown(parts: urllib.parse.SplitResult) -> errors.InvalidUrl:
    return errors.InvalidUrl(
        f'No storage for {parts.scheme[:32]!r} URLs; file:///path is one that '
        'works'
    )
