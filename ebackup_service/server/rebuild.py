# SPDX-License-Identifier: Apache-2.0
"""Makes a catalog from what proxies find in a repository.

What the catalog knows already is compared and kept, so it may be done again
at any time: after an interruption, or with a catalog that lost some images.
"""

import dataclasses
import datetime
from typing import Any

from oslo_config import cfg
from oslo_log import log
from sqlalchemy import orm

from ebackup_service.rpc import findings as found
from ebackup_service.server.catalog import chain as chain_rows
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service

LOG = log.getLogger(__name__)

# Ids in one answer.
_PAGE = 1000
# Of Cinder's columns; the last is what MySQL's TEXT holds of any characters.
_NAME = 255
_UUID = 36
_DESCRIPTION = 16383
_LARGEST = 2**63 - 1


@database.retried
def take(
    catalog: database.Catalog,
    conf: cfg.ConfigOpts,
    job_id: str,
    token: int,
    findings: found.Findings,
) -> found.Verdict:
    """Record what a rebuild has found; the same again changes nothing."""
    differences: list[str] = []
    added = 0
    with catalog.writer() as session:
        service.lock(session)
        job = _held(session, job_id, token)
        if job is None:
            return found.Verdict(accepted=False)
        repository_id = job.repository_id
        for image in findings.images:
            difference = _take_image(session, repository_id, image)
            if difference is None:
                added += 1
            elif difference:
                differences.append(difference)
        for spent in findings.spent:
            chain_rows.reach(
                session,
                repository_id,
                spent.project_id,
                spent.volume_id,
                spent.generation,
                spent.chunk_size or conf.repository.chunk_size,
            )
        for image_id in findings.deleted:
            _take_tombstone(session, repository_id, image_id)
        if findings.floor is not None:
            chain_rows.reach_all(session, repository_id, findings.floor)
    for difference in differences:
        LOG.warning('%s', difference)
    return found.Verdict(True, added, differences)


def known(
    catalog: database.Catalog, job_id: str, token: int, after: str
) -> found.Known:
    """Which images are available by the catalog, for a rebuild to compare."""
    with catalog.reader() as session:
        job = _held(session, job_id, token)
        if job is None:
            return found.Known(accepted=False)
        return found.Known(
            True,
            image_rows.available(session, job.repository_id, after, _PAGE),
        )


def conclude(session: orm.Session, job: job_rows.Job) -> None:
    """The repository takes backups, unless it is about to be taken over."""
    repository = repository_rows.get(session, job.repository_id)
    if (
        repository is not None
        and repository.state == repository_rows.RECOVERING
        and not job_rows.unfinished(
            session, kind=job_rows.TAKEOVER, repository_id=repository.id
        )
    ):
        repository_rows.update(
            session,
            repository.id,
            state=repository_rows.AVAILABLE,
            error=None,
        )
        # Backups that the service before had under way are nobody's now.
        repository_rows.littered(session, repository.id)


def _held(
    session: orm.Session, job_id: str, token: int
) -> job_rows.Job | None:
    job = job_rows.get(session, job_id)
    if (
        job is None
        or job.kind != job_rows.REBUILD
        or job.state != job_rows.RUNNING
        or job.token != token
    ):
        return None
    return job


def _take_image(
    session: orm.Session, repository_id: str, image: found.Image
) -> str | None:
    """None: it is new; else a sentence about what differs, or none."""
    chain_id = chain_rows.reach(
        session,
        repository_id,
        image.project_id,
        image.volume_id,
        image.generation,
        image.chunk_size,
    )
    row = image_rows.get(session, image.id)
    if row is not None and not _is_strange(row, image):
        return _compare(session, repository_id, row, image)
    other = image_rows.of_generation(session, chain_id, image.generation)
    if other is not None:
        return (
            f'Image {image.id} is left out: its generation '
            f'{image.generation} is that of image {other} in the catalog.'
        )
    values = {
        'state': image_rows.AVAILABLE,
        'repository_id': repository_id,
        'chain_id': chain_id,
        'generation': image.generation,
        'chunk_size': image.chunk_size,
        'size': image.size,
        'project_id': image.project_id,
        'volume_id': image.volume_id,
        'volume_metadata': image.volume_metadata,
        'record': image.record,
        **_by_record(image),
        **_outcome(image),
    }
    if row is None:
        image_rows.insert(session, id=image.id, **values)
    else:
        image_rows.move(session, image.id, (image_rows.DELETED,), **values)
    return None


def _is_strange(row: image_rows.Image, image: found.Image) -> bool:
    """Whether another project has asked for a deletion of an unknown id.

    As Cinder does for what it failed to import there. Had the image been
    known, it would have been refused.
    """
    return (
        row.state == image_rows.DELETED
        and row.repository_id is None
        and row.project_id not in (None, image.project_id)
    )


def _compare(
    session: orm.Session,
    repository_id: str,
    row: image_rows.Image,
    image: found.Image,
) -> str:
    """A sentence about what differs, or none."""
    if row.state == image_rows.DELETING:
        return ''
    if row.state == image_rows.DELETED:
        # Whoever deleted it spoke to this catalog before that knew it.
        repository_rows.littered(session, repository_id)
        return (
            f'Image {image.id} was deleted by the catalog; the next '
            'collection removes it from the repository.'
        )
    if row.root is None:
        # What Cinder says; whoever reads the volume may know better.
        row = dataclasses.replace(row, size=image.size)
    if _facts(row, row.repository_id) != _facts(image, repository_id):
        return (
            f'Image {image.id} is kept as the catalog has it: repository, '
            'project, volume, generation, size or chunk size are others in '
            'the repository.'
        )
    if row.state == image_rows.CREATING:
        return ''
    if row.state == image_rows.ERROR:
        image_rows.move(
            session,
            image.id,
            (image_rows.ERROR,),
            state=image_rows.AVAILABLE,
            error=None,
            size=image.size,
            **_outcome(image),
        )
        return (
            f'Image {image.id} had failed by the catalog, but is whole in '
            'the repository: it is available again.'
        )
    if (row.root or {}).get('tree') != image.tree:
        return (
            f'Image {image.id} is kept as the catalog has it: its tree is '
            'another one in the repository.'
        )
    return ''


def _facts(
    image: image_rows.Image | found.Image, repository_id: str | None
) -> tuple[str | int | None, ...]:
    return (
        repository_id,
        image.project_id,
        image.volume_id,
        image.generation,
        image.size,
        image.chunk_size,
    )


def _take_tombstone(
    session: orm.Session, repository_id: str, image_id: str
) -> None:
    """One that the catalog has otherwise is found by comparing all of it."""
    if image_rows.get(session, image_id) is None:
        image_rows.insert(
            session,
            id=image_id,
            state=image_rows.DELETED,
            repository_id=repository_id,
        )


def _by_record(image: found.Image) -> dict[str, Any]:
    """Columns that Cinder's record fills; it may say anything."""
    record = image.record
    values: dict[str, Any] = {
        'user_id': _text(record.get('user_id'), _NAME),
        'snapshot_id': _text(record.get('snapshot_id'), _UUID),
        'name': _text(record.get('display_name'), _NAME),
        'description': _text(record.get('display_description'), _DESCRIPTION),
        'volume': {
            'id': image.volume_id,
            'size': image.size,
            # The backup's: where the volume was is not recorded apart.
            'availability_zone': _text(record.get('availability_zone'), _NAME),
        },
    }
    created_at = _milliseconds(image.created_at)
    if created_at is not None:
        values['created_at'] = created_at
    return values


def _outcome(image: found.Image) -> dict[str, Any]:
    """Columns that the success of a backup fills."""
    return {
        'kind': 'incremental' if image.incremental else 'full',
        'bytes_read': _count(image.statistics.get('bytes_read')),
        'bytes_stored': _count(image.statistics.get('bytes_stored')),
        'root': {
            'tree': image.tree,
            'size': image.size,
            'chunk_size': image.chunk_size,
            'statistics': image.statistics,
        },
    }


def _text(value: Any, length: int) -> str | None:
    """What of a value every database can store, None if it is no text."""
    if not isinstance(value, str):
        return None
    text = value.encode('utf-8', 'replace').decode('utf-8')
    return text.replace('\0', '')[:length]


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _LARGEST else None


def _milliseconds(text: str) -> int | None:
    """An ISO 8601 instant as the catalog has it; None if it is none."""
    try:
        instant = datetime.datetime.fromisoformat(text)
        if instant.tzinfo is None:
            return None
        return clock.to_milliseconds(instant)
    except (ValueError, OverflowError):
        return None
