# SPDX-License-Identifier: Apache-2.0
"""How tombstones end; section "Deletion" of the format."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
import datetime

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import markers
from ebackup_service.repository.storage import base

RETENTION = datetime.timedelta(days=30)


def expire(
    storage: base.Storage,
    present: AbstractSet[str],
    check: Callable[[], None],
    left: left_out.LeftOut,
) -> int:
    """Remove old tombstones of images of which nothing is left.

    :param present: images that have a root or a marker, or had
    :param check: called for each tombstone
    :param left: is told of what can't be listed, or removed
    :returns: how many were removed
    """
    latest = datetime.datetime.now(datetime.UTC) - RETENTION
    removed = 0
    for info in left.list(layout.TOMBSTONES):
        check()
        image_id = layout.parse_tombstone(info.key)
        if image_id is None or image_id in present:
            continue
        deleted_at = _deleted_at(storage, info.key, image_id)
        if deleted_at is not None and deleted_at < latest:
            removed += left.delete(info.key)
    return removed


def _deleted_at(
    storage: base.Storage, key: str, image_id: str
) -> datetime.datetime | None:
    """When an image was deleted, None if its tombstone doesn't tell."""
    try:
        data = document.read_bytes(storage, markers.TOMBSTONE, key)
        tombstone = markers.Tombstone.from_bytes(data, key, image_id)
        instant = datetime.datetime.fromisoformat(tombstone.deleted_at)
    except (errors.Corrupt, errors.ObjectMissing, ValueError):
        return None
    return instant if instant.tzinfo is not None else None
