# SPDX-License-Identifier: Apache-2.0
"""Production storages.

What settings and credentials there are depends on the kind: the server checks
these.
"""

from ebackup_service.api.schemas import types
from ebackup_service.server.catalog import storage as storage_rows

VALUES: types.Schema = {
    'backends': {
        'type': 'array',
        'items': {'type': 'string', 'maxLength': 255},
        'uniqueItems': True,
    },
    'settings': {'type': 'object'},
    'credentials': {'type': ['object', 'null']},
    'trust': {'enum': [*storage_rows.TRUSTS]},
    'anchors': {'type': 'boolean'},
}

STORAGE = types.strict(
    {
        'name': types.STORAGE,
        'kind': {'type': 'string', 'pattern': '^[a-z][a-z0-9_-]{0,31}\\Z'},
        **VALUES,
    },
    ['name', 'kind', 'backends'],
)

CREATE = types.wrapped('storage', STORAGE)

CHANGE = {**types.strict(VALUES, []), 'minProperties': 1}

UPDATE = types.wrapped('storage', CHANGE)

DELETE_QUERY = types.strict({'force': {'type': 'boolean'}}, [])
