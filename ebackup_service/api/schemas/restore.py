# SPDX-License-Identifier: Apache-2.0
"""Restores."""

from ebackup_service.api.schemas import types

RESERVE = types.wrapped(
    'restore',
    types.strict(
        {
            'image_id': types.UUID,
            'project_id': types.PROJECT_ID,
            'volume': types.strict(
                {
                    'id': types.UUID,
                    'size': types.SIZE,
                    'availability_zone': types.NAME,
                    **types.PLACE,
                    'exported': types.EXPORTED,
                },
                ['id', 'size'],
            ),
            'volume_is_new': {'type': 'boolean'},
        },
        ['image_id', 'project_id', 'volume', 'volume_is_new'],
    ),
)
