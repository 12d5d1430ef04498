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

        Whatever goes wrong is logged: how the job ended matters more, and the
        next job of the volume tries again.
        """
        self._end()
        if self._made and not self._stuck:
            forget(client, job.id)

    def _begin(self, job: resources.Job) -> None:
        connector = dict(job.connector or {})
        # Before it is asked for: it may be made and the answer get lost.
        self._connector, self._made = connector, True
        try:
            found, is_snapshot = find(self._context, self._exported)
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
                terminate(self._context, self._exported, connector)
            except Exception as error:
                self._stuck = True
                warn(self._exported, error)


def terminate(
    context: cinder_context.RequestContext,
    exported: Mapping[str, Any],
    connector: Mapping[str, Any],
    timeout: float | None = None,
) -> None:
    """End an export; none is left of what Cinder does not know any more.

    :param timeout: seconds that cinder-volume has; None: as long as Cinder
        gives it
    :raises: whatever keeps it from being known that it has ended
    """
    with contextlib.suppress(*_GONE):
        found, is_snapshot = find(context, exported)
        api = rpcapi.VolumeAPI()
        if timeout is not None:
            api.client = api.client.prepare(timeout=timeout)
        # Without the end of the export itself, which Cinder's own attachment
        # needs, and which Cinder removes with that.
        ask = (
            api.terminate_connection_snapshot
            if is_snapshot
            else api.terminate_connection
        )
        ask(context, found, dict(connector), force=True)


def find(
    context: cinder_context.RequestContext, exported: Mapping[str, Any]
) -> tuple[Any, bool]:
    """Return Cinder's volume or snapshot, and whether it is a snapshot."""
    if exported['type'] == 'snapshot':
        found = cinder_snapshot.Snapshot.get_by_id(context, exported['id'])
        return found, True
    return cinder_volume.Volume.get_by_id(context, exported['id']), False


def _name(exported: Mapping[str, Any]) -> str:
    return f'{exported["type"]} {exported["id"]}'


def warn(exported: Mapping[str, Any], error: Exception) -> None:
    LOG.warning(
        'The export of %(what)s was not ended (%(error)s): later jobs try '
        'again, that of the volume first. The log of cinder-volume may say '
        'why.',
        {'what': _name(exported), 'error': type(error).__name__},
    )


def forget(client: clients.Client, job_id: str) -> None:
    """Say that nothing is exported any more for a job."""
    try:
        client.detach(job_id)
    except errors.EBackupError as error:
        LOG.warning(
            'The eBackup service does not know yet that nothing is exported '
            'for job %(job)s: %(error)s',
            {'job': job_id, 'error': error},
        )
