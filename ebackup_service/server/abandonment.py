# SPDX-License-Identifier: Apache-2.0
"""Gives up our snapshots on a storage that is gone for good.

Nobody can ask it whether they are gone with it. So they are forgotten, which
only an operator can want: should the storage still be there, nobody but him
knows of them from then on.
"""

from oslo_log import log
from sqlalchemy import orm

from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import jobs

LOG = log.getLogger(__name__)


def abandon(
    session: orm.Session, storage: storage_rows.Storage
) -> list[snapshot_rows.Snapshot]:
    """Forget all snapshots of ours on a storage, as they are returned.

    The caller holds ``service.lock``, and knows that no backup is unfinished
    that could plan another one. Jobs that remove some are cancelled; they
    may still remove what they have begun with.

    Each is logged while the catalog still knows it: an answer can get lost.
    """
    _cancel_releases(session, storage)
    found = snapshot_rows.find(session, storage_id=storage.id)
    for row in found:
        LOG.warning(
            'Storage %s is deleted by force: snapshot %s (id %s, %s) of '
            'volume %s (%s, LUN %s) may be left there, and is not known any '
            'more',
            storage.name,
            row.name,
            row.snapshot_id or 'unknown',
            row.state,
            row.volume['id'],
            row.volume.get('name'),
            row.lun,
        )
    snapshot_rows.forget(session, storage.id)
    return found


def _cancel_releases(
    session: orm.Session, storage: storage_rows.Storage
) -> None:
    """One that waits would be handed out without its storage."""
    for job in job_rows.unfinished(session, kind=job_rows.RELEASE):
        if job.parameters['storage'] == storage.id:
            jobs.request_cancel(
                session,
                job.id,
                f'Storage {storage.name!r} was deleted by force.',
            )
