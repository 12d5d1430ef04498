# SPDX-License-Identifier: Apache-2.0
"""Registers the production storages that the configuration names."""

from collections.abc import Iterable

from oslo_config import cfg
from oslo_log import log

from ebackup_service.conf import storage as storage_conf
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import service
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import errors
from ebackup_service.server import storages

LOG = log.getLogger(__name__)


def ensure(catalog: database.Catalog, conf: cfg.ConfigOpts) -> None:
    """Register the storages that the configuration names, as it says.

    Those that it names no longer stay, and may be changed by everybody.

    :raises errors.ServerError: one can't be registered.
    """
    names = conf.server.enabled_storages
    for name in names:
        try:
            _ensure(catalog, conf, name)
        except errors.Conflict as error:
            if error.kind != 'storage-in-use':
                raise
            LOG.warning('Storage %s stays as it was: %s', name, error)
    _release(catalog, names)


def _ensure(
    catalog: database.Catalog, conf: cfg.ConfigOpts, name: str
) -> None:
    try:
        kind = storage_conf.kind(conf, name)
        cls = storages.storage_class(kind)
        values = storage_conf.values(conf, name, cls.SETTINGS, cls.CREDENTIALS)
        known = _known(catalog, name)
        if known is None:
            try:
                storages.create(
                    catalog, conf, name, kind, configured=True, **values
                )
                return
            except errors.Conflict as error:
                # Another server that starts was faster.
                known = _known(catalog, name)
                if known is None or error.kind != 'storage-exists':
                    raise
        if known.kind == kind:
            storages.update(catalog, conf, name, configured=True, **values)
        else:
            raise errors.Refused(
                'storage-kind',
                f'The storage is registered as one of kind {known.kind}: '
                'give this one another name.',
            )
    except errors.Refused as error:
        raise errors.Refused(error.kind, f'[{name}]: {error}') from error


def _known(
    catalog: database.Catalog, name: str
) -> storage_rows.Storage | None:
    with catalog.reader() as session:
        return storage_rows.named(session, name)


@database.retried
def _release(catalog: database.Catalog, names: Iterable[str]) -> None:
    with catalog.writer() as session:
        service.lock(session)
        for storage in storage_rows.every(session):
            if storage.configured and storage.name not in names:
                storage_rows.update(session, storage.id, configured=False)
