# SPDX-License-Identifier: Apache-2.0
"""What is different in a snapshot from the one that was backed up before.

Cinder can't tell yet. Where what it opened the volume as has the method that
is proposed for that, get_cbt_extents(volume, from_snapshot, to_snapshot), it
is asked. It may know nothing, or fail: then the service reads everything, and
compares.
"""

from collections.abc import Iterable, Mapping
import itertools
from typing import Any

from cinder import context as cinder_context
from cinder import exception
from cinder.objects import backup as cinder_backup
from cinder.objects import fields
from cinder.objects import snapshot as cinder_snapshot
from cinder.objects import volume as cinder_volume
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

# So many extents one request can name; if there are more, those that are
# closest to each other become one.
LIMIT = 4096

_Extent = tuple[int, int]


def named(
    context: cinder_context.RequestContext,
    backup: cinder_backup.Backup,
    volume_file: Any,
) -> dict[str, Any]:
    """Return {'changes': …} for the attachment, or nothing.

    Only a user's snapshot can be compared with the last one that was backed
    up: Cinder's temporary ones are gone.
    """
    if backup.snapshot_id is None:
        return {}
    ask = getattr(volume_file, 'get_cbt_extents', None)
    if not callable(ask):
        return {}
    context = context.elevated()
    try:
        last = _last(context, backup)
        if last is None or last.snapshot_id is None:
            return {}
        find = cinder_snapshot.Snapshot.get_by_id
        volume = cinder_volume.Volume.get_by_id(context, backup.volume_id)
        before = find(context, last.snapshot_id)
        extents = ask(volume, before, find(context, backup.snapshot_id))
        return {
            'changes': {'since': last.id, 'extents': _few(_pairs(extents))}
        }
    except exception.SnapshotNotFound:
        return {}
    except Exception as error:
        # Of another party's code anything may come.
        LOG.warning(
            'What changed of snapshot %(snapshot)s is not known: %(error)s',
            {'snapshot': backup.snapshot_id, 'error': error},
        )
        return {}


def _last(
    context: cinder_context.RequestContext, backup: cinder_backup.Backup
) -> cinder_backup.Backup | None:
    """Return the backup that the service builds upon, in all likelihood."""
    found = [
        other
        for other in cinder_backup.BackupList.get_all_by_volume(
            context, backup.volume_id, backup.project_id
        )
        if other.status == fields.BackupStatus.AVAILABLE
        and other.service == backup.service
        and other.created_at <= backup.created_at
    ]
    return max(found, key=lambda other: other.created_at, default=None)


def _pairs(extents: Iterable[Any]) -> list[_Extent]:
    """Return (offset, length) pairs of such, or of mappings with these."""
    found = []
    for extent in extents:
        if isinstance(extent, Mapping):
            extent = extent['offset'], extent['length']
        offset, length = extent
        if not (type(offset) is type(length) is int):
            raise TypeError(f'{extent!r} is no extent')
        if offset < 0 or length < 0:
            raise ValueError(f'{extent!r} is no extent')
        if length:
            found.append((offset, length))
    return sorted(found)


def _few(extents: list[_Extent]) -> list[_Extent]:
    """Return at most LIMIT extents that cover these, and don't overlap."""
    apart = _joined(extents, [0] * len(extents))
    gaps = [
        later[0] - sum(earlier) for earlier, later in itertools.pairwise(apart)
    ]
    smallest = sorted(range(len(gaps)), key=gaps.__getitem__)
    bridges = [0] * len(apart)
    for number in smallest[: max(len(apart) - LIMIT, 0)]:
        bridges[number + 1] = gaps[number]
    return _joined(apart, bridges)


def _joined(extents: list[_Extent], bridges: list[int]) -> list[_Extent]:
    """Join each with the one before, if the gap is no wider than that."""
    found: list[_Extent] = []
    for (offset, length), bridge in zip(extents, bridges, strict=True):
        if found and offset - sum(found[-1]) <= bridge:
            start, before = found.pop()
            length = max(start + before, offset + length) - start
            offset = start
        found.append((offset, length))
    return found
