# SPDX-License-Identifier: Apache-2.0
"""Removes our snapshots from production storage that are not needed any more.

Of one whose id is known, exactly that one; of one that was only planned,
whatever has its name, which no other has.
"""

import contextlib
from typing import Any

from oslo_log import log

from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import task as proxy_task
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)


def run(task: proxy_task.Task) -> dict[str, Any]:
    """Returns the job's result: ids of the rows of those that are gone.

    One that can't be removed stays, and the others are not kept waiting;
    where the storage can't be reached at all the job fails. Credentials that
    are refused are tried once: an account may be locked for more.
    """
    released, failed = [], []
    with task.storage() as storage:
        for one in task.spec.release:
            task.control.check()
            try:
                _release(storage, one)
            except production_errors.ProductionError as error:
                LOG.warning(
                    'Snapshot %s of volume %s stays for now: %s',
                    one.name,
                    one.volume.id,
                    error,
                )
                failed.append(error)
                if isinstance(error, production_errors.AccessDenied):
                    break
            else:
                released.append(one.id)
    if failed and not released:
        raise failed[0]
    return {'released': released, 'failed': len(failed)}


def _release(
    storage: production.ProductionStorage, one: messages.ReleaseSpec
) -> None:
    """It is gone afterwards, or was already."""
    volume = proxy_task.reference(one.volume, of_snapshot=False)
    found = storage.find_kept(volume, one.lun)
    if found is None:
        LOG.info(
            'Volume %s is gone, and with it snapshot %s',
            one.volume.id,
            one.name,
        )
        return
    with contextlib.closing(found) as lun:
        if one.snapshot_id is not None:
            snapshot = production.Snapshot(one.snapshot_id, one.name)
        else:
            known = lun.find_snapshot(one.name)
            if known is None:
                return
            snapshot = known
        lun.drop_snapshot(snapshot)
