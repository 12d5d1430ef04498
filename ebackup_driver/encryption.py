# SPDX-License-Identifier: Apache-2.0
"""Which volumes a backup may be restored to, as far as encryption goes.

Of an encrypted volume is backed up what lies on the storage, so its key has to
come back with it. Cinder sees to that after the restore, and refuses a volume
of another type then, when all has been written. A backup that is not encrypted
even makes it take the key away from a volume that is. We refuse both before.
"""

import json

from cinder import context as cinder_context
from cinder import exception
from cinder.objects import volume as cinder_volume
from cinder.objects import volume_type as cinder_volume_type

from ebackup_driver import errors

_BASE = 'volume-base-metadata'


def check_target(
    context: cinder_context.RequestContext,
    document: str | None,
    volume_id: str,
) -> None:
    """Return if Cinder can put the volume's metadata back afterwards.

    document is what Cinder collected for the backup; None, and nothing will
    be put back.

    :raises EncryptionMismatch: one is encrypted and the other is not, or
        both are, but not alike
    """
    if not document:
        return
    context = context.elevated()
    source = json.loads(document).get(_BASE, {})
    target = cinder_volume.Volume.get_by_id(context, volume_id)
    if source.get('encryption_key_id') is None:
        if target.encryption_key_id is not None:
            raise errors.EncryptionMismatch(
                f'Backup is not encrypted, volume {volume_id} is: restore to '
                'one of a type without encryption'
            )
        return
    source_type = source.get('volume_type_id')
    # A volume without a type gets that of the backup from Cinder.
    if target.volume_type_id not in (None, source_type):
        raise errors.EncryptionMismatch(
            f'Backup is encrypted, by volume type '
            f'{_name(context, source_type)}, and volume {volume_id} is of '
            f'type {_name(context, target.volume_type_id)}: create a volume '
            "of the backup's type from it"
        )


def _name(context: cinder_context.RequestContext, type_id: str) -> str:
    try:
        found = cinder_volume_type.VolumeType.get_by_id(context, type_id)
    except exception.VolumeTypeNotFound:
        return f'{type_id}, which was deleted'
    return str(found.name)
