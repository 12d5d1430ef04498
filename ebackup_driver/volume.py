# SPDX-License-Identifier: Apache-2.0
"""Describes Cinder's volumes and backups to the eBackup service.

Everything here is JSON-able; sizes are bytes.
"""

import os
import stat
from typing import Any

from cinder import context as cinder_context
from cinder.objects import backup as cinder_backup
from cinder.objects import snapshot as cinder_snapshot
from cinder.objects import volume as cinder_volume
from oslo_log import log
from oslo_utils import units

from ebackup_driver import errors

LOG = log.getLogger(__name__)


def path(volume_file: Any) -> str:
    """Return where the volume is attached on this host.

    volume_file is what Cinder hands over: a file it opened, under eventlet
    behind a proxy, or something of the connector's. Only its name is looked
    at; the proxy service opens the device itself.

    :raises VolumeNotSupported: it has no path, as with librbd
    """
    name = getattr(volume_file, 'name', None)
    if not isinstance(name, str) or not name.startswith('/'):
        raise errors.VolumeNotSupported(
            'Volume has no device or file path on this host (librbd images '
            'and directories have none), and the eBackup service knows no '
            'storage that serves its back end: openstack ebackup storage '
            'create registers it'
        )
    return name


def is_emptied(volume_file: Any) -> bool:
    """Return whether it holds nothing any more of what the volume held.

    That is so of a plain file: Cinder truncates it when it opens it to be
    restored to. A storage that serves it as well does not hear of that.
    """
    try:
        return stat.S_ISREG(os.fstat(volume_file.fileno()).st_mode)
    except (AttributeError, OSError):
        # No file, as with librbd.
        return False


def give_size_back(
    context: cinder_context.RequestContext,
    backup: cinder_backup.Backup,
    volume_id: str,
    volume_file: Any,
) -> None:
    """Let a file that was emptied be as large as the volume again.

    At once: whatever becomes of the restore, the volume can be attached,
    backed up, and restored to. As large as the backup it is even if Cinder's
    database is away, which knows how large the volume is.
    """
    descriptor = volume_file.fileno()
    try:
        _grow(descriptor, backup.size * units.Gi)
        volume = cinder_volume.Volume.get_by_id(context.elevated(), volume_id)
        _grow(descriptor, volume.size * units.Gi)
    except OSError as error:
        LOG.warning(
            'Volume %(volume)s, which Cinder has emptied, does not get its '
            'size back: %(error)s',
            {'volume': volume_id, 'error': error},
        )


def _grow(descriptor: int, size: int) -> None:
    """Make a file that large; never smaller, whatever it holds."""
    if os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)


def image_request(
    context: cinder_context.RequestContext,
    backup: cinder_backup.Backup,
    repository: str | None,
    volume_metadata: str | None,
) -> dict[str, Any]:
    """Return the request for the image that the backup is to become."""
    context = context.elevated()
    volume = cinder_volume.Volume.get_by_id(context, backup.volume_id)
    source = {
        'id': volume.id,
        'size': _size(context, backup, volume),
        'name': volume.display_name,
        'availability_zone': volume.availability_zone,
        'type': volume.volume_type.name if volume.volume_type_id else None,
        # A snapshot or clone that Cinder made for this backup alone.
        'in_use': bool(backup.temp_snapshot_id or backup.temp_volume_id),
        **_place(volume),
        'exported': exported(backup),
        'snapshot': _snapshot(context, backup),
    }
    request = {
        'project_id': backup.project_id,
        'user_id': backup.user_id,
        'volume': _without_none(source),
        'name': backup.display_name,
        'description': backup.display_description,
        'record': record(backup),
    }
    return {
        **_without_none(request),
        'snapshot_id': backup.snapshot_id,
        'repository': backup.container or repository,
        'volume_metadata': volume_metadata,
    }


def restore_request(
    context: cinder_context.RequestContext,
    backup: cinder_backup.Backup,
    volume_id: str,
    volume_is_new: bool,
) -> dict[str, Any]:
    """Return the request for writing the backup's image to a volume."""
    volume = cinder_volume.Volume.get_by_id(context.elevated(), volume_id)
    target = {
        'id': volume.id,
        'size': volume.size * units.Gi,
        'availability_zone': volume.availability_zone,
        **_place(volume),
        'exported': {'type': 'volume', 'id': volume.id},
    }
    return {
        'image_id': backup.id,
        'project_id': backup.project_id,
        'volume': _without_none(target),
        'volume_is_new': bool(volume_is_new),
    }


def exported(backup: cinder_backup.Backup) -> dict[str, str]:
    """Return which volume or snapshot it is that Cinder has attached."""
    if backup.temp_volume_id is not None:
        return {'type': 'volume', 'id': backup.temp_volume_id}
    snapshot_id = backup.temp_snapshot_id or backup.snapshot_id
    if snapshot_id is not None:
        return {'type': 'snapshot', 'id': snapshot_id}
    return {'type': 'volume', 'id': backup.volume_id}


def _place(volume: cinder_volume.Volume) -> dict[str, Any]:
    """Return what a registered storage finds the volume by."""
    return {
        'host': volume.host,
        'backend_name': volume.name,
        'provider_location': volume.provider_location,
    }


def _snapshot(
    context: cinder_context.RequestContext, backup: cinder_backup.Backup
) -> dict[str, Any] | None:
    """Return the same of the snapshot that is backed up, if one is."""
    if backup.snapshot_id is None:
        return None
    snapshot = cinder_snapshot.Snapshot.get_by_id(context, backup.snapshot_id)
    return {
        'id': snapshot.id,
        'name': snapshot.name,
        'provider_location': snapshot.provider_location,
        'size': snapshot.volume_size * units.Gi,
    }


def record(backup: cinder_backup.Backup) -> dict[str, Any]:
    """Return Cinder's whole record of a backup, as Cinder exports it.

    The repository keeps it, so that it alone suffices to import the backup
    into another Cinder.
    """
    return cinder_backup.Backup.decode_record(backup.encode_record())


def _size(
    context: cinder_context.RequestContext,
    backup: cinder_backup.Backup,
    volume: cinder_volume.Volume,
) -> int:
    """Return the size of what Cinder attached; the image gets the same.

    That is not always the volume's. A user's snapshot keeps the size that the
    volume had, but where it can't be attached itself Cinder attaches a clone
    of it, of the volume's size when the clone was made; and meanwhile, because
    of a snapshot's backup, nobody is kept from extending the volume. None is
    larger than the volume, whose size becomes that of Cinder's backup and the
    least that Cinder restores to: so the image always fits.
    """
    if backup.temp_volume_id is not None:
        clone = cinder_volume.Volume.get_by_id(context, backup.temp_volume_id)
        return clone.size * units.Gi
    snapshot_id = backup.temp_snapshot_id or backup.snapshot_id
    if snapshot_id is not None:
        snapshot = cinder_snapshot.Snapshot.get_by_id(context, snapshot_id)
        return snapshot.volume_size * units.Gi
    return volume.size * units.Gi


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if v is not None}
