# SPDX-License-Identifier: Apache-2.0
"""What of which images is damaged, as far as the catalog knows."""

from collections.abc import Collection

from oslo_log import log
from sqlalchemy import orm

from ebackup_service.repository import extents
from ebackup_service.rpc import damage as found
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows

LOG = log.getLogger(__name__)

# Images in one answer; each has up to a thousand ranges.
_BATCH = 20

# Those that have, or are about to have, data that counts; and those that are
# deleted: a backup that runs may have one as its base, and inherits from it.
_STATES = (
    image_rows.CREATING,
    image_rows.AVAILABLE,
    image_rows.DELETING,
    image_rows.DELETED,
)


def known(
    catalog: database.Catalog, job_id: str, token: int, after: str
) -> found.Known:
    """Images with damage in the repository that a job checks, by id."""
    with catalog.reader() as session:
        job = _job(session, job_id, token, (job_rows.CHECK,))
        if job is None:
            return found.Known(accepted=False)
        images = image_rows.damaged(session, job.repository_id, after, _BATCH)
    return found.Known(
        True, [found.Image(image.id, image.damage) for image in images]
    )


def bases(catalog: database.Catalog, job_id: str, token: int) -> found.Trees:
    """What a check looks at besides images: the bases of backups that run.

    Those that were deleted meanwhile are in no listing any more.
    """
    with catalog.reader() as session:
        job = _job(session, job_id, token, (job_rows.CHECK,))
        if job is None:
            return found.Trees(accepted=False)
        pins = {
            other.pin['image_id']: messages.TreeSpec(**other.pin)
            for other in job_rows.unfinished(
                session,
                kind=job_rows.BACKUP,
                repository_id=job.repository_id,
            )
            if other.pin is not None
        }
    return found.Trees(True, [*pins.values()])


def missed(
    catalog: database.Catalog,
    job_id: str,
    token: int,
    image_ids: Collection[str],
) -> found.Trees:
    """Images that are available, and that a check has not found."""
    with catalog.reader() as session:
        job = _job(session, job_id, token, (job_rows.CHECK,))
        if job is None:
            return found.Trees(accepted=False)
        missed = image_rows.every_available(session, job.repository_id)
        missed.difference_update(image_ids)
        images = image_rows.several(session, sorted(missed))
    return found.Trees(
        True, [messages.TreeSpec(**image_rows.pin(image)) for image in images]
    )


@database.retried
def take(
    catalog: database.Catalog, job_id: str, token: int, report: found.Report
) -> messages.Decision:
    """Record what was found.

    By a check: that is all that is damaged by now, but for what others have
    found since it asked. By a restore: more of its image is; it may not have
    read everything.
    """
    with catalog.writer() as session:
        job = _job(session, job_id, token, (job_rows.CHECK, job_rows.RESTORE))
        if job is None:
            return messages.Decision(False, 'The proxy no longer has the job.')
        for reported in report.images:
            image = image_rows.locked(session, reported.image_id)
            if image is None or image.repository_id != job.repository_id:
                continue
            before = extents.Extents(image.damage)
            if job.kind == job_rows.CHECK:
                before = before.minus(extents.Extents(reported.known))
            _record(
                session,
                image,
                extents.Extents([*before, *reported.extents]),
            )
    return messages.Decision(True)


def inherit(session: orm.Session, job: job_rows.Job) -> None:
    """Note what a new image has from a base that was found damaged meanwhile.

    Its backup was told what was known when it began, and took nothing of
    that over. Of the rest some may have been replaced, too: the next check
    knows.
    """
    if job.pin is None or job.image_id is None:
        return
    base = image_rows.get(session, job.pin['image_id'])
    if base is None or not base.damage:
        return
    told = extents.Extents(job.pin.get('damaged', []))
    left = extents.Extents(base.damage).minus(told)
    image = image_rows.locked(session, job.image_id)
    if image is None or not left:
        return
    inherited = extents.Extents(image.damage)
    for offset, length in left.within(0, image.size or 0):
        inherited.add(offset, length)
    _record(session, image, inherited)


def _job(
    session: orm.Session, job_id: str, token: int, kinds: Collection[str]
) -> job_rows.Job | None:
    job = job_rows.get(session, job_id)
    if (
        job is None
        or job.kind not in kinds
        or job.state != job_rows.RUNNING
        or job.token != token
    ):
        return None
    return job


def _record(
    session: orm.Session, image: image_rows.Image, damage: extents.Extents
) -> None:
    if image.damage == damage.to_json():
        return
    image_rows.move(
        session,
        image.id,
        _STATES,
        damage=damage.to_json() or None,
        damaged_bytes=damage.bytes,
    )
    if damage:
        LOG.warning(
            'Image %s: %s bytes are damaged, in %s places',
            image.id,
            damage.bytes,
            len(damage),
        )
    else:
        LOG.info('Image %s is not damaged any more', image.id)
