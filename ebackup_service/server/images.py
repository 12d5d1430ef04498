# SPDX-License-Identifier: Apache-2.0
"""Backup images: reserve, look up, delete."""

import builtins
from typing import Any
import uuid

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.server.catalog import chain as chain_rows
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import service
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import deletions
from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from ebackup_service.server import volume_storages
from ebackup_service.server import volumes

LOG = log.getLogger(__name__)


@database.retried
def reserve(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    image_id: str,
    request: dict[str, Any],
) -> tuple[image_rows.Image, job_rows.Job | None]:
    """Record a backup that is to be made, and the job that will make it.

    ``request`` is the REST body's ``image``. Asked again with the same
    project, volume, snapshot and size the answer is the same image: with its
    job while that is unfinished, without once the image is available.

    :raises errors.Conflict: the id stands for something else
        (``fingerprint-mismatch``), was deleted (``image-deleted``), its
        backup failed (``image-failed``), the volume is just being
        restored (``volume-busy``), or too much is to be done already
        (``too-many-jobs``).
    :raises errors.Refused: no such repository, or it is not ready.
    """
    with catalog.writer() as session:
        service.lock(session)
        image = image_rows.get(session, image_id)
        if image is None:
            image = _create(session, conf, image_id, request)
        else:
            _same(image, request)
        return image, _unfinished_job(session, image)


def _create(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    image_id: str,
    request: dict[str, Any],
) -> image_rows.Image:
    jobs.check_room(session, conf)
    volume = request['volume']
    repository = repositories.ready(
        session, request.get('repository') or conf.default_repository
    )
    volumes.check_unwritten(session, conf, volume['id'])
    chain_id, generation, chunk_size = chain_rows.next_generation(
        session,
        repository.id,
        request['project_id'],
        volume['id'],
        conf.repository.chunk_size,
    )
    storage = volume_storages.reaching(session, volume)
    job_id = str(uuid.uuid4())
    image_rows.insert(
        session,
        id=image_id,
        state=image_rows.CREATING,
        repository_id=repository.id,
        chain_id=chain_id,
        generation=generation,
        chunk_size=chunk_size,
        project_id=request['project_id'],
        user_id=request.get('user_id'),
        volume_id=volume['id'],
        snapshot_id=request.get('snapshot_id'),
        size=_size(volume, storage),
        name=request.get('name'),
        description=request.get('description'),
        volume=volume,
        volume_metadata=request.get('volume_metadata'),
        record=request.get('record') or {},
        job_id=job_id,
    )
    job_rows.insert(
        session,
        id=job_id,
        kind=job_rows.BACKUP,
        needs=job_rows.ATTACHMENT if storage is None else None,
        ready_at=None if storage is None else clock.now(),
        parameters=_parameters(session, volume, storage),
        repository_id=repository.id,
        image_id=image_id,
        volume_id=volume['id'],
        project_id=request['project_id'],
        beat_at=clock.now(),
    )
    created = image_rows.get(session, image_id)
    assert created is not None
    return created


def _parameters(
    session: orm.Session,
    volume: dict[str, Any],
    storage: storage_rows.Storage | None,
) -> dict[str, Any]:
    """Of the job: by which storage, or why not by the one there is."""
    if storage is not None:
        return {'storage': storage.id}
    passed = volume_storages.serving(session, volume.get('host'))
    if passed is None or not volume_storages.lacks_snapshot(passed, volume):
        return {}
    return {
        'by_attachment': f'Snapshot {volume["snapshot"]["id"]} is read where '
        f'Cinder attaches it: storage {passed.name!r} knows none of those '
        'that Cinder takes.'
    }


def _size(volume: dict[str, Any], storage: storage_rows.Storage | None) -> int:
    """Of what is read, bytes: what Cinder attached, or a snapshot itself.

    The two differ where Cinder attaches a clone of a snapshot whose volume
    was extended after it.
    """
    snapshot = volume.get('snapshot')
    as_cinder_does = storage is None or volume_storages.exported(storage)
    of = volume if as_cinder_does or snapshot is None else snapshot
    size: int = of['size']
    return size


def _same(image: image_rows.Image, request: dict[str, Any]) -> None:
    if image.state in (image_rows.DELETING, image_rows.DELETED):
        raise errors.Conflict(
            'image-deleted',
            f'Image {image.id} was deleted; a new backup needs a new id.',
        )
    known = (
        image.project_id,
        image.volume_id,
        image.snapshot_id,
        image.volume.get('size', image.size),
    )
    asked = (
        request['project_id'],
        request['volume']['id'],
        request.get('snapshot_id'),
        request['volume']['size'],
    )
    if known != asked:
        raise errors.Conflict(
            'fingerprint-mismatch',
            f'Image {image.id} exists with another project, volume, '
            'snapshot or size.',
        )
    if image.state == image_rows.ERROR:
        message = (image.error or {}).get('message', 'nobody knows why')
        raise errors.Conflict(
            'image-failed',
            f'The backup failed: {message.rstrip(".")}. Delete image '
            f'{image.id} before it is made again.',
        )


def _unfinished_job(
    session: orm.Session, image: image_rows.Image
) -> job_rows.Job | None:
    if image.state != image_rows.CREATING or image.job_id is None:
        return None
    return job_rows.get(session, image.job_id)


def show(
    catalog: database.Catalog, image_id: str, project_id: str | None = None
) -> image_rows.Image:
    """One image; with ``project_id`` only if it is that project's.

    :raises errors.NotFound: unknown, deleted, or another project's.
    """
    with catalog.reader() as session:
        return _find(session, image_id, project_id)


def _find(
    session: orm.Session, image_id: str, project_id: str | None
) -> image_rows.Image:
    image = image_rows.get(session, image_id)
    if (
        image is None
        or image.state == image_rows.DELETED
        or project_id not in (None, image.project_id)
    ):
        raise errors.NotFound('image-unknown', f'No image {image_id}.')
    return image


def list(
    catalog: database.Catalog,
    *,
    project_id: str | None = None,
    volume_id: str | None = None,
    state: str | None = None,
    limit: int = 1000,
    marker: str | None = None,
) -> tuple[builtins.list[image_rows.Image], str | None]:
    """Images, newest first, and the marker of the next page if any."""
    asked = {'project_id': project_id, 'volume_id': volume_id, 'state': state}
    filters = {key: value for key, value in asked.items() if value}
    with catalog.reader() as session:
        found = image_rows.page(session, filters, limit + 1, marker)
    more = len(found) > limit
    return found[:limit], found[limit - 1].id if more else None


@database.retried
def update(
    catalog: database.Catalog, image_id: str, *, restore_damaged: bool
) -> image_rows.Image:
    """Change what an operator may change of an image.

    :param restore_damaged: whether restores of it succeed, with zeros in
        their places, although parts of it are damaged
    :raises errors.NotFound: unknown, or deleted.
    """
    with catalog.writer() as session:
        image_rows.move(
            session,
            image_id,
            (
                image_rows.CREATING,
                image_rows.AVAILABLE,
                image_rows.ERROR,
                image_rows.DELETING,
            ),
            restore_damaged=restore_damaged,
        )
        return _find(session, image_id, None)


@database.retried
def delete(
    catalog: database.Catalog,
    image_id: str,
    project_id: str | None = None,
) -> job_rows.Job | None:
    """Delete an image, whatever state it is in; may be called again.

    Gives the job that does it, or None when there is nothing to do: the
    image is deleted already, or was unknown, in which case a tombstone now
    refuses a PUT that comes late. A backup that still makes the image is
    cancelled, and the job waits for its end.

    :raises errors.NotFound: it is another project's.
    """
    with catalog.writer() as session:
        service.lock(session)
        image = image_rows.get(session, image_id)
        if image is None:
            image_rows.insert(
                session,
                id=image_id,
                state=image_rows.DELETED,
                project_id=project_id,
            )
            LOG.info('Image %s deleted before it was created', image_id)
            return None
        if image.repository_id is None:
            # A tombstone of what was never made belongs to nobody. Who asked
            # for it matters to a rebuild, should there be such an image.
            image_rows.move(
                session, image_id, (image_rows.DELETED,), project_id=project_id
            )
            return None
        if project_id not in (None, image.project_id):
            raise errors.NotFound('image-unknown', f'No image {image_id}.')
        if image.state == image_rows.DELETED:
            return None
        return deletions.begin(session, image)
