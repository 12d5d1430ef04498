# SPDX-License-Identifier: Apache-2.0
"""Parts that several schemas are made of.

Lengths are those of the catalog's columns.
"""

from typing import Any

from ebackup_service.api import router

Schema = dict[str, Any]

UUID: Schema = {'type': 'string', 'pattern': f'^{router.UUID}\\Z'}
NULLABLE_UUID: Schema = {**UUID, 'type': ['string', 'null']}
PROJECT_ID: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255}
NAME: Schema = {'type': ['string', 'null'], 'maxLength': 255}
TEXT: Schema = {'type': ['string', 'null'], 'maxLength': 65535}
REPOSITORY: Schema = {
    'type': 'string',
    'pattern': f'^{router.VARIABLES["name"]}\\Z',
}
STORAGE: Schema = REPOSITORY
SIZE: Schema = {'type': 'integer', 'minimum': 0, 'maximum': 2**63 - 1}
# where a volume is: what a registered storage finds it by
PLACE: Schema = {
    'host': NAME,
    'backend_name': NAME,
    'provider_location': TEXT,
}
# what Cinder has attached to its host, and can export to others
EXPORTED: Schema = {
    'type': 'object',
    'properties': {
        'type': {'type': 'string', 'enum': ['volume', 'snapshot']},
        'id': UUID,
    },
    'required': ['type', 'id'],
    'additionalProperties': False,
}
MARKER: Schema = UUID
LIMIT: Schema = {'type': 'integer', 'minimum': 1, 'maximum': 2**31 - 1}


def strict(properties: Schema, required: list[str]) -> Schema:
    """Return the schema of an object that has no other properties."""
    return {
        'type': 'object',
        'properties': properties,
        'required': required,
        'additionalProperties': False,
    }


def wrapped(name: str, schema: Schema) -> Schema:
    """Return the schema of ``{name: ...}``."""
    return strict({name: schema}, [name])


EMPTY_QUERY = strict({}, [])
