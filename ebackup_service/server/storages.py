# SPDX-License-Identifier: Apache-2.0
"""Production storages: register, change and forget them."""

import builtins
from collections.abc import Iterable
from collections.abc import Mapping
import re
from typing import Any
import uuid

import jsonschema
from jsonschema import exceptions as schema_errors
from oslo_config import cfg
from sqlalchemy import orm

from ebackup_service.production import errors as production_errors
from ebackup_service.production import registry
from ebackup_service.server import abandonment
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import refusal as refusal_rows
from ebackup_service.server.catalog import service
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import credentials as encryption
from ebackup_service.server import errors
from ebackup_service.server import volume_storages

# What Cinder calls a volume's host, up to '#'.
_BACKEND = re.compile(r'[^@#\s]+@[^@#\s]+')


def list(catalog: database.Catalog) -> builtins.list[storage_rows.Storage]:
    with catalog.reader() as session:
        return storage_rows.every(session)


def show(catalog: database.Catalog, name: str) -> storage_rows.Storage:
    """:raises errors.NotFound: no storage of that name."""
    with catalog.reader() as session:
        return _find(session, name)


@database.retried
def create(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    name: str,
    kind: str,
    *,
    configured: bool = False,
    **values: Any,
) -> storage_rows.Storage:
    """Register a storage.

    ``values``: backends, settings, credentials, trust, anchors. All have
    defaults; that of anchors depends on the kind.

    :raises errors.Refused: no storage of that kind can be registered
        (``storage-kind``), or with these values (``storage-backends``,
        ``storage-settings``, ``storage-credentials``).
    :raises errors.Conflict: the name is taken (``storage-exists``), or a back
        end is another storage's (``backend-taken``).
    :raises credentials.KeyUnusable: nothing to encrypt the credentials with.
    """
    cls = storage_class(kind)
    values = {
        'backends': [],
        'settings': {},
        'credentials': None,
        'trust': storage_rows.TRUSTED,
        'anchors': cls.capabilities.anchors,
        **values,
    }
    checked = _checked(conf, cls, values)
    with catalog.writer() as session:
        service.lock(session)
        if storage_rows.named(session, name) is not None:
            raise errors.Conflict(
                'storage-exists', f'There is a storage {name!r} already.'
            )
        _check_free(session, checked['backends'])
        storage_rows.insert(
            session,
            id=str(uuid.uuid4()),
            name=name,
            kind=kind,
            configured=configured,
            **checked,
        )
        return _find(session, name)


@database.retried
def update(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    name: str,
    *,
    configured: bool = False,
    **values: Any,
) -> storage_rows.Storage:
    """Change some values of a storage; each replaces what was there.

    :param configured: whether it is the configuration that changes it
    :raises errors.NotFound: no storage of that name.
    :raises errors.Refused: not with these values, as for ``create``.
    :raises errors.Conflict: the configuration says what it is
        (``storage-configured``), a back end is another storage's
        (``backend-taken``), or jobs go on whose volumes are on a back end
        that it shall not serve any more (``storage-in-use``).
    :raises credentials.KeyUnusable: nothing to encrypt the credentials with.
    """
    known = show(catalog, name)
    cls = storage_class(known.kind)
    checked = _checked(conf, cls, values)
    with catalog.writer() as session:
        service.lock(session)
        storage = _find(session, name)
        if storage.id != known.id:
            raise _unknown(name)
        if not configured:
            _check_changeable(storage)
        if 'backends' in checked:
            _check_free(session, checked['backends'], storage)
            gone = set(storage.backends) - set(checked['backends'])
            _check_idle(session, storage, gone)
        if 'settings' in checked and any(
            checked['settings'].get(name) != storage.settings.get(name)
            for name in cls.PLACE
        ):
            _check_bare(session, storage)
        storage_rows.update(
            session, storage.id, configured=configured, **checked
        )
        if checked.keys() & {'settings', 'credentials'}:
            # Whoever sets them, though they be the same, wants them tried.
            refusal_rows.forget(
                session, models.Refusal.storage_id == storage.id
            )
        if checked.get('anchors') is False:
            snapshot_rows.condemn(
                session,
                (snapshot_rows.ANCHOR,),
                0,
                models.Snapshot.storage_id == storage.id,
            )
        return _find(session, name)


@database.retried
def delete(
    catalog: database.Catalog, name: str, force: bool = False
) -> tuple[storage_rows.Storage, builtins.list[snapshot_rows.Snapshot]]:
    """Forget a storage, as it is returned; nothing happens on it.

    :param force: also if snapshots of ours are on it; these are forgotten as
        well, and returned
    :raises errors.NotFound: no storage of that name.
    :raises errors.Conflict: the configuration says what it is
        (``storage-configured``), or jobs of its volumes go on, or snapshots
        of ours are on it (``storage-in-use``).
    """
    left = []
    with catalog.writer() as session:
        service.lock(session)
        storage = _find(session, name)
        _check_changeable(storage)
        _check_idle(session, storage, storage.backends)
        if force:
            left = abandonment.abandon(session, storage)
        else:
            _check_bare(session, storage)
        refusal_rows.forget(session, models.Refusal.storage_id == storage.id)
        storage_rows.remove(session, storage.id)
    return storage, left


@database.retried
def reencrypt(catalog: database.Catalog, conf: cfg.ConfigOpts) -> int:
    """Encrypt all credentials with the first key; of how many storages.

    :raises credentials.KeyUnusable: no key decrypts some of them; none has
        changed then.
    """
    with catalog.writer() as session:
        service.lock(session)
        count = 0
        for storage in storage_rows.every(session):
            if storage.credentials is None:
                continue
            token = encryption.reencrypt(
                conf, storage.credentials, storage.name
            )
            storage_rows.update(session, storage.id, credentials=token)
            count += 1
        return count


def _find(session: orm.Session, name: str) -> storage_rows.Storage:
    storage = storage_rows.named(session, name)
    if storage is None:
        raise _unknown(name)
    return storage


def _unknown(name: str) -> errors.NotFound:
    return errors.NotFound('storage-unknown', f'No storage {name!r}.')


def storage_class(kind: str) -> Any:
    """The class of the storages of a kind; it has their schemas.

    :raises errors.Refused: none of that kind can be registered
        (``storage-kind``).
    """
    try:
        cls: Any = registry.storage_class(kind)
    except production_errors.StorageUnknown as error:
        raise errors.Refused('storage-kind', str(error)) from error
    if cls.SETTINGS is None:
        raise errors.Refused(
            'storage-kind',
            f'There is nothing to register of a storage of kind {kind}.',
        )
    return cls


def _checked(
    conf: cfg.ConfigOpts, cls: Any, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The values as the catalog keeps them."""
    checked = dict(values)
    for backend in checked.get('backends', ()):
        if not _BACKEND.fullmatch(backend):
            raise errors.Refused(
                'storage-backends',
                f'{backend!r} is no back end of Cinder: give the host of its '
                'volumes up to "#", such as node1@ceph.',
            )
    if 'settings' in checked:
        _validate(checked['settings'], cls.SETTINGS, 'settings')
    if 'credentials' in values:
        checked['credentials'] = _encrypted(conf, cls, values['credentials'])
    return checked


def _encrypted(
    conf: cfg.ConfigOpts, cls: Any, credentials: dict[str, Any] | None
) -> str | None:
    _validate(credentials or {}, cls.CREDENTIALS, 'credentials')
    return encryption.encrypt(conf, credentials) if credentials else None


def _validate(document: Any, schema: Any, what: str) -> None:
    """:raises errors.Refused: it says where and why, but quotes no value."""
    validator = jsonschema.Draft202012Validator(schema)
    error = schema_errors.best_match(validator.iter_errors(document))
    if error is None:
        return
    place = '.'.join([what, *map(str, error.absolute_path)])
    # These two name members only; others would quote what may be secret.
    if error.validator in ('required', 'additionalProperties'):
        reason = error.message
    else:
        reason = f'does not satisfy {error.validator} {error.validator_value}'
    raise errors.Refused(f'storage-{what}', f'{place}: {reason}')


def _check_changeable(storage: storage_rows.Storage) -> None:
    if storage.configured:
        raise errors.Conflict(
            'storage-configured',
            f'Storage {storage.name!r} is as [server]enabled_storages says: '
            'change it in the configuration, and restart the server.',
        )


def _check_free(
    session: orm.Session,
    backends: Iterable[str],
    storage: storage_rows.Storage | None = None,
) -> None:
    """Refuse back ends of another storage."""
    for other in storage_rows.every(session):
        if storage is not None and other.id == storage.id:
            continue
        for backend in backends:
            if backend in other.backends:
                raise errors.Conflict(
                    'backend-taken',
                    f'Back end {backend} is served by storage {other.name!r}.',
                )


def _check_bare(session: orm.Session, storage: storage_rows.Storage) -> None:
    """Refuse to lose sight of a storage on which snapshots of ours are."""
    rows = snapshot_rows.find(session, storage_id=storage.id)
    if rows:
        how = 'openstack ebackup storage set --no-anchors'
        gone = ''
        if storage.configured:
            how = f'[{storage.name}] anchors = false, and restart the server'
            gone = 'take it out of enabled_storages, restart the server, and '
        raise errors.Conflict(
            'storage-in-use',
            f'{len(rows)} snapshots of ours are on storage {storage.name!r}: '
            f'switch its anchors off ({how}), and wait until they are '
            f'removed. If it is gone for good: {gone}storage delete --force.',
        )


def _check_idle(
    session: orm.Session,
    storage: storage_rows.Storage,
    backends: Iterable[str],
) -> None:
    """Refuse to stop serving back ends that unfinished jobs need."""
    gone = set(backends)
    if not gone:
        return
    for job in job_rows.unfinished(session):
        host = volume_storages.volume(session, job).get('host')
        if host is not None and host.partition('#')[0] in gone:
            raise errors.Conflict(
                'storage-in-use',
                f'{job.kind} job {job.id}, {job.state}, is of a volume that '
                f'storage {storage.name!r} serves; wait for its end or '
                'cancel it.',
            )
