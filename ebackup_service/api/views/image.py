# SPDX-License-Identifier: Apache-2.0
"""Backup images."""

from typing import Any

from ebackup_service.api.views import instant
from ebackup_service.server.catalog import image as image_rows

FIELDS = (
    'id',
    'project_id',
    'volume_id',
    'snapshot_id',
    'repository',
    'generation',
    'state',
    'size',
    'kind',
    'bytes_read',
    'bytes_stored',
    'chunk_size',
    'damaged_bytes',
    'restore_damaged',
    'name',
    'error',
    'job_id',
)


def detail(image: image_rows.Image) -> dict[str, Any]:
    """With the ranges that are damaged, which may be many."""
    return show(image) | {'damaged_extents': image.damage}


def show(image: image_rows.Image) -> dict[str, Any]:
    return {name: getattr(image, name) for name in FIELDS} | {
        'created_at': instant.text(image.created_at),
        'updated_at': instant.text(image.updated_at),
    }
