# SPDX-License-Identifier: Apache-2.0
"""Jobs."""

from ebackup_service.api.schemas import types

STATES = ['pending', 'running', 'succeeded', 'failed', 'cancelled']
KINDS = [
    'backup',
    'restore',
    'delete',
    'gc',
    'check',
    'create',
    'takeover',
    'rebuild',
    'release',
]

LIST_QUERY = types.strict(
    {
        'project_id': types.PROJECT_ID,
        'state': {'type': 'string', 'enum': STATES},
        'kind': {'type': 'string', 'enum': KINDS},
        'image_id': types.UUID,
        'limit': types.LIMIT,
        'marker': types.MARKER,
    },
    [],
)

ATTACH = types.wrapped(
    'attachment',
    types.strict(
        {
            'kind': {'type': 'string', 'enum': ['attached']},
            'host': {'type': 'string', 'minLength': 1, 'maxLength': 255},
            'path': {
                'type': 'string',
                'pattern': '^/',
                'maxLength': 4095,
            },
            'lock': {
                'type': 'integer',
                'minimum': 0,
                'maximum': (1 << 63) - 1,
            },
            'changes': types.strict(
                {
                    'since': types.UUID,
                    'extents': {
                        'type': 'array',
                        'maxItems': 4096,
                        'items': {
                            'type': 'array',
                            'items': types.SIZE,
                            'minItems': 2,
                            'maxItems': 2,
                        },
                    },
                },
                ['since', 'extents'],
            ),
        },
        ['kind', 'host', 'path'],
    ),
)
