# SPDX-License-Identifier: Apache-2.0
"""Finds a production storage by the name that attachments carry."""

from typing import Any

from oslo_config import cfg
import stevedore.driver
import stevedore.exception

from ebackup_service.production import base
from ebackup_service.production import errors

NAMESPACE = 'ebackup.production'


def open_storage(name: str, conf: cfg.ConfigOpts) -> base.ProductionStorage:
    """:raises: StorageUnknown"""
    try:
        manager: Any = stevedore.driver.DriverManager(NAMESPACE, name)
    except stevedore.exception.NoMatches as e:
        raise errors.StorageUnknown(
            f'no production storage {name!r} is installed on this proxy: '
            'install the package that provides it, or correct the attachment'
        ) from e
    storage: base.ProductionStorage = manager.driver.from_conf(conf)
    return storage
