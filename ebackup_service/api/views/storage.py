# SPDX-License-Identifier: Apache-2.0
"""Production storages; nobody is shown their credentials."""

from collections.abc import Iterable
from typing import Any

from ebackup_service.api.views import instant
from ebackup_service.server.catalog import refusal as refusal_rows
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server.catalog import storage as storage_rows


def show(storage: storage_rows.Storage) -> dict[str, Any]:
    refusals = dict(storage.refusals)
    everywhere = refusals.pop(refusal_rows.EVERYWHERE, None)
    return {
        'id': storage.id,
        'name': storage.name,
        'kind': storage.kind,
        'backends': storage.backends,
        'settings': storage.settings,
        'has_credentials': storage.credentials is not None,
        'trust': storage.trust,
        'anchors': storage.anchors,
        'configured': storage.configured,
        **_refusal(everywhere),
        'refused_hosts': [
            {'host': host, **_refusal(refusal)}
            for host, refusal in refusals.items()
        ],
        'created_at': instant.text(storage.created_at),
        'updated_at': instant.text(storage.updated_at),
    }


def _refusal(refusal: refusal_rows.Refusal | None) -> dict[str, Any]:
    return {
        'refused_since': instant.text(refusal.since if refusal else None),
        'login_after': instant.text(refusal.login_after if refusal else None),
    }


def abandoned(
    storage: storage_rows.Storage, left: Iterable[snapshot_rows.Snapshot]
) -> dict[str, Any]:
    """What it takes to find what the catalog forgot with a storage."""
    snapshots = [_left(row) for row in left]
    message = 'No snapshots of ours were known to be there.'
    if snapshots:
        message = (
            'These snapshots are not known any more: if the storage is still '
            'there, remove them yourself.'
        )
    return {
        'id': storage.id,
        'name': storage.name,
        'kind': storage.kind,
        'state': 'deleted',
        'snapshots': snapshots,
        'message': message,
    }


def _left(row: snapshot_rows.Snapshot) -> dict[str, Any]:
    """One that may be there.

    ``snapshot_id`` is None if nobody has said that it was taken.
    """
    return {
        'name': row.name,
        'snapshot_id': row.snapshot_id,
        'state': row.state,
        'volume_id': row.volume['id'],
        'volume_name': row.volume.get('name'),
        'lun': row.lun,
        'image_id': row.image_id,
    }
