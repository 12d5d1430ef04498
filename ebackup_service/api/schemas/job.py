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
        'exported': {'type': 'boolean'},
        'limit': types.LIMIT,
        'marker': types.MARKER,
    },
    [],
)

# Seconds; its driver hears of nothing else meanwhile.
BEAT_QUERY = types.strict(
    {'wait': {'type': 'number', 'minimum': 0, 'maximum': 5}}, []
)

_HOST: types.Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255}
_ATTACHED = types.strict(
    {
        'kind': {'const': 'attached'},
        'host': _HOST,
        'path': {'type': 'string', 'pattern': '^/', 'maxLength': 4095},
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
)
# What is in its data only os-brick knows, and that it is secret.
_CONNECTOR = types.strict(
    {
        'kind': {'const': 'connector'},
        'host': _HOST,
        'connection': types.strict(
            {
                'driver_volume_type': {
                    'type': 'string',
                    'pattern': r'^[A-Za-z0-9_-]{1,32}\Z',
                },
                'data': {'type': 'object'},
            },
            ['driver_volume_type', 'data'],
        ),
    },
    ['kind', 'host', 'connection'],
)
ATTACH = types.wrapped(
    'attachment',
    {
        'type': 'object',
        'properties': {'kind': {'enum': ['attached', 'connector']}},
        'required': ['kind'],
        'if': {'properties': {'kind': {'const': 'connector'}}},
        'then': _CONNECTOR,
        'else': _ATTACHED,
    },
)
