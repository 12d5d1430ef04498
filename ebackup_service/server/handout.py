# SPDX-License-Identifier: Apache-2.0
"""Puts together all that a proxy must know of a job."""

from typing import Any

from oslo_config import cfg
from sqlalchemy import orm

from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import connections
from ebackup_service.server import credentials
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import snapshots
from ebackup_service.server import verification
from ebackup_service.server import volume_storages


def hand_out(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    owner: service.Service,
    job: job_rows.Job,
    host: str,
    now: int,
) -> messages.JobSpec | None:
    """Give a pending job to the proxy of a host.

    None if it has moved; or has failed, since no key decrypts the credentials
    of the storage that its volume lives on.

    The token grows: what was said under an older one counts no more. A
    backup's base is chosen and pinned here, under the catalog's lock, so no
    collection can ask in between what is to be kept; one that has begun keeps
    the base that it has, since what an earlier run has left, or leaves yet,
    refers to that.
    """
    try:
        storage = volume_storages.spec(session, conf, job)
    except credentials.KeyUnusable as error:
        failure = jobs.failure(error.kind, str(error))
        jobs.end(session, job, job_rows.FAILED, failure)
        return None
    image = job.image_id and image_rows.get(session, job.image_id)
    pin = job.pin
    given = None
    if job.kind == job_rows.BACKUP and image:
        given = snapshots.given(session, job)
        if not job.runs:
            pin = _base(session, image, storage)
    seconds = max(leases.length(conf, job, now), 0.0)
    attachment, needs = job.attachment, None
    of = volume_storages.of_job(session, job)
    if of is not None and volume_storages.exported(of):
        attachment = connections.expected(session, job, of, host)
        needs = job_rows.CONNECTION
    taken = job_rows.update(
        session,
        job.id,
        (job_rows.PENDING,),
        *job_rows.unmoved(job),
        state=job_rows.RUNNING,
        proxy=host,
        pin=pin,
        token=job.token + 1,
        handed_at=clock.now(),
        lease_until=now + clock.milliseconds(seconds),
        begun=False,
        needs=needs,
        attachment=attachment,
    )
    if not taken:
        return None
    if needs is not None and attachment is not None:
        connections.record(session, job, attachment)
    tree = None if pin is None else messages.TreeSpec(**pin)
    held, anchor = None, None
    if job.kind == job_rows.BACKUP and image:
        anchor = _anchor(session, image, storage, pin)
    elif job.kind == job_rows.RESTORE and storage:
        held, anchor = _held(session, job, storage)
    return messages.JobSpec(
        id=job.id,
        kind=job.kind,
        token=job.token + 1,
        lease=seconds,
        repository=_repository(session, conf, owner, job.repository_id),
        image=_image(image) if image else None,
        base=tree if job.kind == job_rows.BACKUP else held,
        tree=tree if job.kind == job_rows.RESTORE else None,
        target=_target(job) if job.kind == job_rows.RESTORE else None,
        attachment=None if needs else attachment,
        attachment_timeout=conf.server.attachment_timeout if needs else 0.0,
        begun=_begun(job) if job.kind == job_rows.BACKUP else None,
        sample=verification.arc(session, job),
        partial=bool(job.parameters.get('partial')),
        whole=bool(job.parameters.get('whole')),
        storage=storage,
        volume=_volume(session, job) if storage else None,
        snapshot=given,
        anchor=anchor,
        release=snapshots.to_release(session, job),
    )


def _begun(job: job_rows.Job) -> messages.Checkpoint | None:
    """Where the next run goes on, having counted what is lost.

    Of a run that was lost itself, what it had read by its last renewal.
    """
    if not job.runs:
        return None
    checkpoint = job.checkpoint or {'tree': None, 'leaf': 0, 'total': {}}
    total = checkpoint['total']
    lost = job.progress.get('bytes_read', 0) - total.get('bytes_read', 0)
    reread = job.progress.get('bytes_reread', 0) + max(lost, 0)
    return messages.Checkpoint(
        tree=checkpoint['tree'],
        leaf=checkpoint['leaf'],
        total={**total, 'bytes_reread': reread},
    )


def _base(
    session: orm.Session,
    image: image_rows.Image,
    storage: messages.StorageSpec | None,
) -> dict[str, Any] | None:
    """The image that the storage knows the difference to, or the newest."""
    assert image.chain_id is not None and image.chunk_size is not None
    base = image_rows.newest(session, image.chain_id, image.chunk_size)
    anchor = None
    if storage is not None:
        anchor = snapshots.anchor(session, image.chain_id, storage.id)
    if anchor is not None:
        known = image_rows.get(session, anchor.image_id)
        if (
            known is not None
            and known.state == image_rows.AVAILABLE
            and known.chunk_size == image.chunk_size
        ):
            base = known
    return None if base is None else image_rows.pin(base)


def _anchor(
    session: orm.Session,
    image: image_rows.Image,
    storage: messages.StorageSpec | None,
    pin: dict[str, Any] | None,
) -> messages.SnapshotSpec | None:
    """What the storage has of the image that a backup has as base."""
    if pin is None or image.chain_id is None or storage is None:
        return None
    return snapshots.anchor_of(
        session, image.chain_id, storage.id, pin['image_id']
    )


def _held(
    session: orm.Session, job: job_rows.Job, storage: messages.StorageSpec
) -> tuple[messages.TreeSpec | None, messages.SnapshotSpec | None]:
    """What a volume held when one of its images was made, and its anchor.

    Nobody pins that image: should it be deleted meanwhile, more is written.
    """
    assert job.volume_id is not None
    for image_id, spec in snapshots.anchors_of_volume(
        session, job.volume_id, storage.id
    ):
        image = image_rows.get(session, image_id)
        if (
            image is not None
            and image.state == image_rows.AVAILABLE
            and image.repository_id == job.repository_id
            and image.chunk_size == (job.pin or {}).get('chunk_size')
        ):
            return messages.TreeSpec(**image_rows.pin(image)), spec
    return None, None


def _volume(
    session: orm.Session, job: job_rows.Job
) -> messages.VolumeSpec | None:
    volume = volume_storages.volume(session, job)
    if not volume:
        return None
    return messages.VolumeSpec(**snapshots.reference(volume))


def _repository(
    session: orm.Session,
    conf: cfg.ConfigOpts,
    owner: service.Service,
    repository_id: str,
) -> messages.RepositorySpec:
    repository = repository_rows.get(session, repository_id)
    assert repository is not None
    return messages.RepositorySpec(
        id=repository.id,
        name=repository.name,
        url=repository.url,
        owner=messages.Owner(owner.uuid, repository.owner_generation),
        compression=conf.repository.compression,
        compression_level=conf.repository.compression_level,
        minimum_free=conf.repository.minimum_free,
    )


def _image(image: image_rows.Image) -> messages.ImageSpec:
    return messages.ImageSpec(
        id=image.id,
        project_id=image.project_id or '',
        volume_id=image.volume_id or '',
        generation=image.generation or 0,
        size=image.size or 0,
        chunk_size=image.chunk_size or 0,
        record=image.record,
        volume_metadata=image.volume_metadata,
    )


def _target(job: job_rows.Job) -> messages.TargetSpec:
    request = job.parameters['request']
    return messages.TargetSpec(
        volume_id=request['volume']['id'],
        size=request['volume']['size'],
        # What an earlier run has written is compared with, not written again.
        is_new=bool(request.get('volume_is_new')) and not job.runs,
    )
