# SPDX-License-Identifier: Apache-2.0
"""The production storage of a volume, and what a job is told of it."""

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from sqlalchemy import orm

from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.production import registry
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import credentials as encryption


def serving(
    session: orm.Session, host: str | None
) -> storage_rows.Storage | None:
    """The storage that a volume lives on, by what Cinder calls its host."""
    if host is None:
        return None
    backend = host.partition('#')[0]
    for storage in storage_rows.every(session):
        if backend in storage.backends:
            return storage
    return None


def reaching(
    session: orm.Session, volume: Mapping[str, Any]
) -> storage_rows.Storage | None:
    """The storage by which proxies reach a volume, without its driver.

    :param volume: what the driver says of it; without its name on the back
        end, or without what Cinder would export, as of an older driver, no
        proxy finds it
    """
    if not volume.get('backend_name'):
        return None
    storage = serving(session, volume.get('host'))
    if storage is not None and exported(storage):
        return storage if volume.get('exported') else None
    if storage is not None and lacks_snapshot(storage, volume):
        return None
    return storage


def lacks_snapshot(
    storage: storage_rows.Storage, volume: Mapping[str, Any]
) -> bool:
    """Whether it is a snapshot of Cinder's that the storage does not know."""
    can = capabilities(storage)
    return (
        volume.get('snapshot') is not None
        and not can.exported
        and not can.cinder_snapshots
    )


def exported(storage: storage_rows.Storage) -> bool:
    """Whether Cinder exports volumes of a storage to proxies."""
    return capabilities(storage).exported


def capabilities(storage: storage_rows.Storage) -> production.Capabilities:
    """What a storage can do; nothing, if its kind is not known here."""
    try:
        return registry.storage_class(storage.kind).capabilities
    except production_errors.StorageUnknown:
        return production.Capabilities()


def alike(storage: storage_rows.Storage) -> bool:
    """Whether it looks the same from each host: where it is, and who we are.

    Else a host has for itself what the catalog does not say.
    """
    if storage.credentials is None:
        return False
    try:
        cls = registry.storage_class(storage.kind)
    except production_errors.StorageUnknown:
        return False
    return cls.REACHED_BY <= storage.settings.keys()


def of_job(
    session: orm.Session, job: job_rows.Job
) -> storage_rows.Storage | None:
    """The storage by which a job reaches what it needs, if by any."""
    storage_id = job.parameters.get('storage')
    return storage_id and storage_rows.get(session, storage_id)


def kinds(
    session: orm.Session, jobs: Iterable[job_rows.Job]
) -> dict[str, str | None]:
    """For each job, by id, the kind of storage that it needs; None: none."""
    known = {
        storage.id: storage.kind for storage in storage_rows.every(session)
    }
    found = {}
    for job in jobs:
        kind = known.get(job.parameters.get('storage', ''))
        if kind is None and job.attachment is not None:
            kind = str(job.attachment.get('kind'))
        found[job.id] = kind
    return found


def spec(
    session: orm.Session, conf: cfg.ConfigOpts, job: job_rows.Job
) -> messages.StorageSpec | None:
    """What a proxy must know of the storage of a job.

    :raises credentials.KeyUnusable: its credentials can't be decrypted.
    """
    storage = of_job(session, job)
    if storage is None:
        return None
    credentials = None
    if storage.credentials is not None:
        credentials = encryption.decrypt(
            conf, storage.credentials, storage.name
        )
    return messages.StorageSpec(
        id=storage.id,
        name=storage.name,
        kind=storage.kind,
        settings=storage.settings,
        credentials=credentials,
        trust=storage.trust,
        anchors=storage.anchors,
    )


def volume(session: orm.Session, job: job_rows.Job) -> dict[str, Any]:
    """What the driver says of the volume that a job reads or writes."""
    if job.kind == job_rows.RESTORE:
        found: dict[str, Any] = job.parameters['request']['volume']
        return found
    if job.kind == job_rows.BACKUP and job.image_id is not None:
        image = image_rows.get(session, job.image_id)
        return image.volume if image else {}
    return {}
