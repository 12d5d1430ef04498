# SPDX-License-Identifier: Apache-2.0
"""Ends what drivers that were killed have left exported to proxies.

Each time after a job: cinder-volume may take its time, and a job that runs
needs beats. The service is asked first, each time: it knows whether another
job uses the export, and lets none begin to while it is being ended.
"""

from collections.abc import Iterable, Mapping
import contextlib
import itertools
import random
import time
from typing import Any

from cinder.common import constants
from cinder import context as cinder_context
from cinder import exception
from cinder.objects import service as cinder_service
from cinder.volume import volume_utils
from oslo_log import log as logging

from ebackup_driver import client as clients
from ebackup_driver import errors
from ebackup_driver import exports
from ebackup_driver import resources

LOG = logging.getLogger(__name__)

# Seconds in which what is left of a job is ended; it is less than the service
# keeps others from using it. Jobs of other volumes have less to wait for.
_SECONDS = 60.0
_SECONDS_ELSEWHERE = 10.0
# Jobs that one is drawn from, and how many of them are looked at in Cinder.
_LISTED = 500
_LOOKED_AT = 5
# States of a volume, or snapshot, that nobody has attached, or is about to.
_IDLE = ('available', 'error', 'error_deleting', 'error_restoring')
# And those of the volume of a job.
_OURS = ('backing-up', 'restoring-backup')
# Of the attachments of a volume, and of its migration: that nobody is about
# it. A state can be reset, and does not tell of a migration.
_UNATTACHED = (None, 'detached', 'deleted')
_UNMOVED = (None, 'success', 'error', 'deleting')


def end_of_volume(
    context: cinder_context.RequestContext,
    client: clients.Client,
    job: resources.Job,
) -> None:
    """End what is left of earlier jobs of the volume of a job.

    Whatever goes wrong is logged: how the job ended matters more, and the
    next job of the volume tries again.
    """
    end = time.monotonic() + _SECONDS
    left = [one['job_id'] for one in job.connections or ()]
    for job_id in dict.fromkeys(left):
        _end(context.elevated(), client, job_id, end)


def end_another(
    context: cinder_context.RequestContext, client: clients.Client
) -> None:
    """End what is left of one job, of whatever volume, if any is.

    A volume may never have a job again. Which one is left to chance, so that
    none that can not be ended keeps others from it, and drivers are seldom
    about the same. Whatever goes wrong is logged, as above.
    """
    end = time.monotonic() + _SECONDS_ELSEWHERE
    context = context.elevated()
    try:
        job_id = _choose(context, client)
    except Exception as error:
        LOG.info(
            'It is not known what other drivers have left exported: %s',
            type(error).__name__,
        )
        return
    if job_id is not None:
        _end(context, client, job_id, end)


def _choose(
    context: cinder_context.RequestContext, client: clients.Client
) -> str | None:
    found = list(itertools.islice(client.jobs(exported=True), _LISTED))
    for job in random.sample(found, min(len(found), _LOOKED_AT)):
        if _is_ours_to_end(context, job.exported or ()):
            return job.id
    return None


def _is_ours_to_end(
    context: cinder_context.RequestContext,
    exported: Iterable[Mapping[str, Any]],
) -> bool:
    """Whether this Cinder can end it now, and nobody else is concerned.

    Another Cinder may use the same service, so what was never known here is
    none of ours. On the host of a proxy a virtual machine may have the volume
    by now, which to Cinder is the same host.
    """
    known = context.elevated(read_deleted='yes')
    for one in exported:
        try:
            found, _ = exports.find(known, one)
        except (exception.VolumeNotFound, exception.SnapshotNotFound):
            return False
        if found.deleted:
            continue
        if found.status not in _IDLE or not _is_up(context, found):
            return False
        if _is_attached(context, one):
            return False
    return True


def _is_attached(
    context: cinder_context.RequestContext, exported: Mapping[str, Any]
) -> bool:
    """Whether a virtual machine has a volume, or Cinder moves it, perhaps.

    To Cinder that is the same export, if it is on the host of the proxy.
    """
    with contextlib.suppress(exception.NotFound):
        found, is_snapshot = exports.find(context, exported)
        return not is_snapshot and (
            found.status not in _IDLE + _OURS
            or found.attach_status not in _UNATTACHED
            or found.migration_status not in _UNMOVED
        )
    return False


def _is_up(context: cinder_context.RequestContext, found: Any) -> bool:
    """Whether there is a cinder-volume for it, which would answer."""
    backend = volume_utils.extract_host(found.service_topic_queue)
    services = cinder_service.ServiceList.get_all(
        context, {'topic': constants.VOLUME_TOPIC, 'is_up': True}
    )
    return any(backend in (one.host, one.cluster_name) for one in services)


def _end(
    context: cinder_context.RequestContext,
    client: clients.Client,
    job_id: str,
    end: float,
) -> None:
    if time.monotonic() >= end:
        return
    try:
        left = client.begin_to_detach(job_id)
    except errors.Conflict as error:
        LOG.info('%s', error)
        return
    except errors.EBackupError as error:
        LOG.warning(
            'The eBackup service does not tell whether what was exported for '
            'job %(job)s may be ended; later jobs ask again: %(error)s',
            {'job': job_id, 'error': error},
        )
        return
    # Each of them is tried, whatever becomes of the others.
    ended = [_end_one(context, job_id, one, end) for one in left]
    if all(ended):
        exports.forget(client, job_id)


def _end_one(
    context: cinder_context.RequestContext,
    job_id: str,
    left: Mapping[str, Any],
    end: float,
) -> bool:
    """Return whether it is exported no more."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        return False
    LOG.info('%s was exported for job %s', left['exported'], job_id)
    try:
        if _is_attached(context, left['exported']):
            LOG.info('It stays, as the volume is attached by now')
            return False
        exports.terminate(
            context, left['exported'], left['connector'], seconds
        )
    except Exception as error:
        # Perhaps it was never made, but that is not known.
        exports.warn(left['exported'], error)
        return False
    return True
