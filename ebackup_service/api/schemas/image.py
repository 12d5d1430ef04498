# SPDX-License-Identifier: Apache-2.0
"""Backup images."""

from ebackup_service.api.schemas import types

STATES = ['creating', 'available', 'error', 'deleting', 'deleted']

LIST_QUERY = types.strict(
    {
        'project_id': types.PROJECT_ID,
        'volume_id': types.UUID,
        'state': {'type': 'string', 'enum': STATES},
        'all_projects': {'type': 'boolean'},
        'limit': types.LIMIT,
        'marker': types.MARKER,
    },
    [],
)

UPDATE = types.wrapped(
    'image',
    types.strict(
        {'restore_damaged': {'type': 'boolean'}}, ['restore_damaged']
    ),
)

DELETE_QUERY = types.strict({'project_id': types.PROJECT_ID}, [])

VOLUME = types.strict(
    {
        'id': types.UUID,
        'size': types.SIZE,
        'name': types.NAME,
        'availability_zone': types.NAME,
        'type': types.NAME,
        'in_use': {'type': 'boolean'},
        **types.PLACE,
        'exported': types.EXPORTED,
        'snapshot': types.strict(
            {
                'id': types.UUID,
                'name': types.NAME,
                'provider_location': types.TEXT,
                'size': types.SIZE,
            },
            ['id', 'name', 'size'],
        ),
    },
    ['id', 'size'],
)

RESERVE = types.wrapped(
    'image',
    types.strict(
        {
            'project_id': types.PROJECT_ID,
            'user_id': types.NAME,
            'volume': VOLUME,
            'snapshot_id': types.NULLABLE_UUID,
            'repository': {
                **types.REPOSITORY,
                'type': ['string', 'null'],
            },
            'name': types.NAME,
            'description': types.TEXT,
            # JSON text of Cinder, kept as it is for the restore
            'volume_metadata': {'type': ['string', 'null']},
            'record': {'type': 'object'},
        },
        ['project_id', 'volume', 'record'],
    ),
)
