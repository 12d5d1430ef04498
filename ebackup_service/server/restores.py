# SPDX-License-Identifier: Apache-2.0
"""Restores: check everything that can be checked before data moves."""

from typing import Any

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import volume_storages
from ebackup_service.server import volumes

LOG = log.getLogger(__name__)


@database.retried
def reserve(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    job_id: str,
    request: dict[str, Any],
) -> job_rows.Job:
    """Record a restore that is to be made; the same again is the same job.

    ``request`` is the REST body's ``restore``. The job pins the image's data
    until it ends, even if the image is deleted meanwhile. Refused or not, of
    a volume that was emptied no anchor is believed any more.

    :raises errors.NotFound: the project has no such image.
    :raises errors.Conflict: the id stands for another job
        (``fingerprint-mismatch``), the image is not available
        (``image-not-available``) or damaged, and nobody allowed to restore
        the rest (``image-damaged``), the volume is part of another job
        (``volume-busy``), or too much is to be done already
        (``too-many-jobs``).
    :raises errors.Refused: the volume is smaller than the image
        (``volume-too-small``), or its availability zone is another and the
        operator refuses that (``availability-zone-mismatch``).
    """
    if request['volume_is_new']:
        volumes.forsake_anchors(catalog, request['volume']['id'])
    with catalog.writer() as session:
        service.lock(session)
        job = job_rows.get(session, job_id)
        if job is None:
            job = _create(session, conf, job_id, request)
        elif job.kind != job_rows.RESTORE or _asked(job) != request:
            raise errors.Conflict(
                'fingerprint-mismatch',
                f'Job {job_id} exists and is another one.',
            )
        return job


def _asked(job: job_rows.Job) -> Any:
    return job.parameters.get('request')


def _create(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    job_id: str,
    request: dict[str, Any],
) -> job_rows.Job:
    jobs.check_room(session, conf)
    image = image_rows.get(session, request['image_id'])
    volume = request['volume']
    _check_image(image, request)
    assert image is not None
    _check_damage(image)
    needed = image_rows.least_volume(image)
    if volume['size'] < needed:
        raise errors.Refused(
            'volume-too-small',
            f'Volume {volume["id"]} has {volume["size"]} bytes, image '
            f'{image.id} needs {needed}.',
        )
    volumes.check_unused(session, conf, volume['id'])
    parameters: dict[str, Any] = {
        'request': request,
        'partial': image.restore_damaged,
    }
    mismatch = _zone_mismatch(conf, image, volume)
    if mismatch:
        parameters['availability_zone_mismatch'] = mismatch
    storage = volume_storages.reaching(session, volume)
    if storage is not None:
        parameters['storage'] = storage.id
    job_rows.insert(
        session,
        id=job_id,
        kind=job_rows.RESTORE,
        needs=job_rows.ATTACHMENT if storage is None else None,
        ready_at=None if storage is None else clock.now(),
        repository_id=image.repository_id,
        image_id=image.id,
        volume_id=volume['id'],
        project_id=request['project_id'],
        parameters=parameters,
        pin=image_rows.pin(image),
        beat_at=clock.now(),
    )
    job = job_rows.get(session, job_id)
    assert job is not None
    return job


def _check_image(
    image: image_rows.Image | None, request: dict[str, Any]
) -> None:
    image_id = request['image_id']
    if (
        image is None
        or image.state == image_rows.DELETED
        or image.project_id != request['project_id']
    ):
        raise errors.NotFound('image-unknown', f'No image {image_id}.')
    if image.state != image_rows.AVAILABLE:
        raise errors.Conflict(
            'image-not-available',
            f'Image {image_id} is {image.state}; only an available one can '
            'be restored.',
        )


def _check_damage(image: image_rows.Image) -> None:
    if image.damaged_bytes and not image.restore_damaged:
        raise errors.Conflict(
            'image-damaged',
            f'{image.damaged_bytes} bytes of image {image.id} are damaged, in '
            f'{len(image.damage)} places. To restore the rest: openstack '
            'ebackup image set --restore-damaged',
        )


def _zone_mismatch(
    conf: cfg.ConfigOpts, image: image_rows.Image, volume: dict[str, Any]
) -> str | None:
    origin = image.volume.get('availability_zone')
    target = volume.get('availability_zone')
    if origin is None or target is None or origin == target:
        return None
    message = (
        f'Volume {volume["id"]} is in availability zone {target}, image '
        f'{image.id} comes from {origin}.'
    )
    if conf.server.availability_zone_mismatch == 'refuse':
        raise errors.Refused('availability-zone-mismatch', message)
    LOG.warning('%s', message)
    return message
