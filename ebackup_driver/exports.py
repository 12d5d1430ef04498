# SPDX-License-Identifier: Apache-2.0
"""Has cinder-volume export what is backed up, or restored to, to a proxy.

Cinder's own attachment to this host stays as it is meanwhile. What
cinder-volume answers has secrets: it goes to the proxy, and nowhere else.
"""

from collections.abc import Mapping
import contextlib
from typing import Any

from cinder import context as cinder_context
from cinder import exception
from cinder.objects import snapshot as cinder_snapshot
from cinder.objects import volume as cinder_volume
from cinder.volume import rpcapi
from oslo_log import log as logging

from ebackup_driver import client as clients
from ebackup_driver import errors
from ebackup_driver import resources

LOG = logging.getLogger(__name__)

# What these say is not there is not exported, either.
_GONE = (
    exception.SnapshotNotFound,
    exception.VolumeAttachmentNotFound,
    exception.VolumeNotFound,
)


class Exports:
    """One operation's; at most one is there at a time.

    exported: type ('volume' or 'snapshot') and id of what Cinder has attached
    """

    def __init__(
        self,
        context: cinder_context.RequestContext,
        exported: Mapping[str, Any],
    ):
        self._context = context.elevated()
        self._exported = exported
        # To whom, and how, if it was asked for and has not been ended.
        self._connector: Mapping[str, Any] | None = None
        self._connection: dict[str, Any] = {}
        # Whether there was ever one, and one that could not be ended.
        self._made = False
        self._stuck = False

    def attachment(self, job: resources.Job) -> dict[str, Any]:
        """Return by what the job's proxy reaches the volume.

        :raises ExportFailed: cinder-volume does not export it
        """
        if self._connector is None or self._connector != job.connector:
            self._end()
            self._begin(job)
        return {
            'kind': 'connector',
            'host': job.proxy,
            'connection': self._connection,
        }

    def finish(self, client: clients.Client, job: resources.Job) -> None:
        """End what is exported for a job that has ended, and say so.

        Also for earlier jobs of the volume, whose driver did not get to it,
        unless another job uses it by then. Whatever goes wrong is logged: how
        the job ended matters more, and the next job of the volume tries
        again.
        """
        self._end()
        if self._made and not self._stuck:
            _forget(client, job.id)
        ended: dict[str, bool] = {}
        for left in job.connections or ():
            # Another job may have begun to use it since.
            done = _is_left(client, job, left) and self._end_left(left)
            ended[left['job_id']] = ended.get(left['job_id'], True) and done
        for job_id, done in ended.items():
            if done:
                _forget(client, job_id)

    def _begin(self, job: resources.Job) -> None:
        connector = dict(job.connector or {})
        # Before it is asked for: it may be made and the answer get lost.
        self._connector, self._made = connector, True
        try:
            found, is_snapshot = _find(self._context, self._exported)
            api = rpcapi.VolumeAPI()
            ask = (
                api.initialize_connection_snapshot
                if is_snapshot
                else api.initialize_connection
            )
            answer = ask(self._context, found, connector)
            self._connection = {
                'driver_volume_type': answer['driver_volume_type'],
                'data': answer['data'],
            }
        except Exception as error:
            # Its message may have in it what must not be shown.
            raise errors.ExportFailed(
                f'cinder-volume does not export {_name(self._exported)} to '
                f'proxy {job.proxy} ({type(error).__name__}): its log says '
                'why'
            ) from None

    def _end(self) -> None:
        connector, self._connector = self._connector, None
        self._connection = {}
        if connector is not None:
            try:
                self._terminate(self._exported, connector)
            except Exception as error:
                self._stuck = True
                _warn(self._exported, error)

    def _end_left(self, left: Mapping[str, Any]) -> bool:
        """Return whether it is exported no more."""
        LOG.info(
            '%s was exported for job %s', left['exported'], left['job_id']
        )
        try:
            self._terminate(left['exported'], left['connector'])
        except Exception as error:
            # Perhaps it was never made, but that is not known.
            _warn(left['exported'], error)
            return False
        return True

    def _terminate(
        self, exported: Mapping[str, Any], connector: Mapping[str, Any]
    ) -> None:
        """:raises: whatever keeps it from being known that it has ended"""
        with contextlib.suppress(*_GONE):
            found, is_snapshot = _find(self._context, exported)
            api = rpcapi.VolumeAPI()
            # Without the end of the export itself, which Cinder's own
            # attachment needs, and which Cinder removes with that.
            ask = (
                api.terminate_connection_snapshot
                if is_snapshot
                else api.terminate_connection
            )
            ask(self._context, found, dict(connector), force=True)


def _find(
    context: cinder_context.RequestContext, exported: Mapping[str, Any]
) -> tuple[Any, bool]:
    if exported['type'] == 'snapshot':
        found = cinder_snapshot.Snapshot.get_by_id(context, exported['id'])
        return found, True
    return cinder_volume.Volume.get_by_id(context, exported['id']), False


def _name(exported: Mapping[str, Any]) -> str:
    return f'{exported["type"]} {exported["id"]}'


def _warn(exported: Mapping[str, Any], error: Exception) -> None:
    LOG.warning(
        'The export of %(what)s was not ended (%(error)s): the next backup or '
        'restore of the volume tries again. The log of cinder-volume may say '
        'why.',
        {'what': _name(exported), 'error': type(error).__name__},
    )


def _is_left(
    client: clients.Client, job: resources.Job, left: Mapping[str, Any]
) -> bool:
    """Return whether it may be ended, as of now; False if that is unknown."""
    try:
        return left in (client.job(job.id).connections or ())
    except errors.EBackupError as error:
        LOG.warning(
            'The eBackup service does not tell whether the export of %(what)s '
            'for job %(job)s may be ended; the next backup or restore of the '
            'volume asks again: %(error)s',
            {
                'what': _name(left['exported']),
                'job': left['job_id'],
                'error': error,
            },
        )
        return False


def _forget(client: clients.Client, job_id: str) -> None:
    try:
        client.detach(job_id)
    except errors.EBackupError as error:
        LOG.warning(
            'The eBackup service does not know yet that nothing is exported '
            'for job %(job)s: %(error)s',
            {'job': job_id, 'error': error},
        )
