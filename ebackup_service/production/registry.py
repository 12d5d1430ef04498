# SPDX-License-Identifier: Apache-2.0
"""Finds a production storage by the name of its kind."""

from collections.abc import Callable
from collections.abc import Mapping
import importlib.metadata
import types
from typing import Any

from oslo_config import cfg
from oslo_log import log
import stevedore.driver
import stevedore.exception

from ebackup_service.production import base
from ebackup_service.production import errors

LOG = log.getLogger(__name__)

NAMESPACE = 'ebackup.production'

_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


def storage_class(kind: str) -> type[base.ProductionStorage]:
    """:raises: StorageUnknown"""
    try:
        manager: Any = stevedore.driver.DriverManager(NAMESPACE, kind)
    except stevedore.exception.NoMatches as e:
        raise errors.StorageUnknown(
            f'no production storage {kind!r} is installed here: '
            'install the package that provides it, or correct the name'
        ) from e
    found: type[base.ProductionStorage] = manager.driver
    return found


def open_storage(
    kind: str,
    conf: cfg.ConfigOpts,
    settings: Mapping[str, Any] = _NOTHING,
    credentials: Mapping[str, Any] = _NOTHING,
    check: Callable[[], None] = base.no_check,
) -> base.ProductionStorage:
    """:raises: StorageUnknown, NotInstalled"""
    return storage_class(kind).from_conf(conf, settings, credentials, check)


def usable() -> list[str]:
    """Kinds of storages that this host has all for, by name."""
    found = []
    for kind in sorted(importlib.metadata.entry_points(group=NAMESPACE).names):
        try:
            storage_class(kind).check_installed()
        except errors.NotInstalled as error:
            LOG.debug('No volumes on storages of kind %s: %s', kind, error)
        else:
            found.append(kind)
    return found
