# SPDX-License-Identifier: Apache-2.0
"""Finds a production storage by the name of its kind."""

from collections.abc import Mapping
import types
from typing import Any

from oslo_config import cfg
import stevedore.driver
import stevedore.exception

from ebackup_service.production import base
from ebackup_service.production import errors

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
) -> base.ProductionStorage:
    """:raises: StorageUnknown, NotInstalled"""
    return storage_class(kind).from_conf(conf, settings, credentials)
