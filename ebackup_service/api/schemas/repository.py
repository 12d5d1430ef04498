# SPDX-License-Identifier: Apache-2.0
"""Repositories."""

from ebackup_service.api.schemas import types

REPOSITORY = types.strict(
    {
        'name': types.REPOSITORY,
        'url': {
            'type': 'string',
            'pattern': '^[a-z][a-z0-9+.-]*://',
            'maxLength': 1024,
        },
    },
    ['name', 'url'],
)

TAKEOVER = types.strict(
    {**REPOSITORY['properties'], 'id': types.UUID}, ['name', 'url', 'id']
)

CREATE = types.wrapped('repository', REPOSITORY)

CHECK = types.strict(
    {
        'read_data': {'type': 'boolean'},
        'fraction': {'type': 'number', 'exclusiveMinimum': 0, 'maximum': 1},
    },
    [],
)
