# SPDX-License-Identifier: Apache-2.0
"""Dirty bitmaps of QEMU: which ones are anchors, and copies of them.

They are dictionaries, as QEMU tells them of a node.
"""

import re
from typing import Any

from ebackup_service.production import base

PREFIX = 'ebackup-'
DIGITS = 10  # of the digest, and random; names of nodes have at most 31
_ID = re.compile(f'[0-9a-f]{{{2 * DIGITS}}}')
GRANULARITY = 1 << 16  # bytes


def name_of(snapshot: base.Snapshot) -> str:
    """Of the bitmap that is the anchor of a snapshot."""
    return f'{PREFIX}{snapshot.id}-{snapshot.name}'


def snapshot_of(bitmap: str) -> base.Snapshot | None:
    """Of which the bitmap of that name is the anchor; None: it is none."""
    identity, dash, name = bitmap.removeprefix(PREFIX).partition('-')
    if not (bitmap.startswith(PREFIX) and dash and _ID.fullmatch(identity)):
        return None
    return base.Snapshot(identity, name)


def named(node: dict[str, Any], name: str) -> base.Snapshot | None:
    """The snapshot of that name whose anchor a node has."""
    for bitmap in node['dirty-bitmaps']:
        snapshot = snapshot_of(bitmap.get('name', ''))
        if snapshot is not None and snapshot.name == name:
            return snapshot
    return None


def counts(bitmap: dict[str, Any]) -> bool:
    """Whether it has counted all the time, and can be copied."""
    return (
        bitmap['recording'] is True
        and bitmap['busy'] is False
        and not bitmap.get('inconsistent', False)
    )


def copy(
    node: dict[str, Any], bitmap: str, target: str, name: str
) -> list[dict[str, Any]]:
    """Actions that copy a bitmap of the node to another node, or to itself."""
    return [
        {
            'type': 'block-dirty-bitmap-add',
            'data': {
                'node': target,
                'name': name,
                'granularity': GRANULARITY,
                'disabled': True,
            },
        },
        {
            'type': 'block-dirty-bitmap-merge',
            'data': {
                'node': target,
                'target': name,
                'bitmaps': [{'node': node['node-name'], 'name': bitmap}],
            },
        },
    ]
