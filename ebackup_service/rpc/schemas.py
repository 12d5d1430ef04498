# SPDX-License-Identifier: Apache-2.0
"""JSON schemas of the messages; ``messages`` has what they mean."""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {'type': 'string'}
OPTIONAL_TEXT: Schema = {'type': ['string', 'null']}
ID: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 36}
FLAG: Schema = {'type': 'boolean'}
SECONDS: Schema = {'type': 'number', 'minimum': 0}
COUNT: Schema = {'type': 'integer', 'minimum': 0}
DOCUMENT: Schema = {'type': 'object'}
OPTIONAL_DOCUMENT: Schema = {'type': ['object', 'null']}


def record(**properties: Schema) -> Schema:
    """An object with these properties; others are of a newer version."""
    return {
        'type': 'object',
        'properties': properties,
        'required': sorted(properties),
    }


def optional(schema: Schema) -> Schema:
    return {'anyOf': [{'type': 'null'}, schema]}


def array(schema: Schema) -> Schema:
    return {'type': 'array', 'items': schema}


# pairs of offset and length, in bytes
EXTENTS: Schema = {
    'type': 'array',
    'maxItems': 1000,
    'items': {
        'type': 'array',
        'items': {**COUNT, 'maximum': 2**63 - 1},
        'minItems': 2,
        'maxItems': 2,
    },
}
OWNER = record(service_id=ID, generation=COUNT)
REPOSITORY = record(
    id=ID,
    name=TEXT,
    url=TEXT,
    owner=OWNER,
    compression=TEXT,
    compression_level={'type': 'integer'},
    minimum_free=COUNT,
)
IMAGE = record(
    id=ID,
    project_id=TEXT,
    volume_id=TEXT,
    generation=COUNT,
    size=COUNT,
    chunk_size=COUNT,
    record=DOCUMENT,
    volume_metadata=OPTIONAL_TEXT,
)
TREE = record(
    image_id=ID,
    tree=OPTIONAL_DOCUMENT,
    size=COUNT,
    chunk_size=COUNT,
    damaged=EXTENTS,
)
TARGET = record(volume_id=TEXT, size=COUNT, is_new=FLAG)
CHECKPOINT = record(
    tree=OPTIONAL_DOCUMENT,
    leaf=COUNT,
    total={'type': 'object', 'additionalProperties': COUNT},
)
SAMPLE = record(begin=COUNT, end=COUNT)
STORAGE = record(
    id=ID,
    name=TEXT,
    kind=TEXT,
    settings=DOCUMENT,
    credentials=OPTIONAL_DOCUMENT,
    trust={'enum': ['trusted', 'shadow']},
    anchors=FLAG,
)
VOLUME = record(
    id=ID,
    name=OPTIONAL_TEXT,
    host=OPTIONAL_TEXT,
    provider_location=OPTIONAL_TEXT,
    in_use=FLAG,
    snapshot=optional(
        record(id=ID, name=TEXT, provider_location=OPTIONAL_TEXT)
    ),
)
SNAPSHOT = record(lun=TEXT, name=TEXT, snapshot_id=TEXT)
RELEASE = record(
    id=ID, volume=VOLUME, lun=TEXT, name=TEXT, snapshot_id=OPTIONAL_TEXT
)
JOB = record(
    id=ID,
    kind={
        'enum': [
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
    },
    token=COUNT,
    lease=SECONDS,
    repository=REPOSITORY,
    image=optional(IMAGE),
    base=optional(TREE),
    tree=optional(TREE),
    target=optional(TARGET),
    attachment=OPTIONAL_DOCUMENT,
    attachment_timeout=SECONDS,
    storage=optional(STORAGE),
    sample=optional(SAMPLE),
    partial=FLAG,
    whole=FLAG,
    volume=optional(VOLUME),
    snapshot=optional(SNAPSHOT),
    anchor=optional(SNAPSHOT),
    release=array(RELEASE),
    begun=optional(CHECKPOINT),
)
# driver_volume_type and data, as os-brick takes them
CONNECTION = record(
    driver_volume_type={
        'type': 'string',
        'pattern': r'^[A-Za-z0-9_-]{1,32}\Z',
    },
    data=DOCUMENT,
)
GRANT = record(granted=FLAG, seconds=SECONDS, reason=TEXT, message=TEXT)
PLAN = record(accepted=FLAG, name=TEXT)
DECISION = record(accepted=FLAG, reason=TEXT)
ERROR = record(kind=TEXT, message=TEXT, retryable=FLAG)
OUTCOME = record(
    state={'enum': ['succeeded', 'failed', 'cancelled', 'returned']},
    result=OPTIONAL_DOCUMENT,
    error=optional(ERROR),
    progress=DOCUMENT,
)
COMMIT = record(
    tree=OPTIONAL_DOCUMENT, size=COUNT, chunk_size=COUNT, statistics=DOCUMENT
)
LIVE = record(
    accepted=FLAG,
    dead=array(ID),
    pins=array(TREE),
    missed=array(ID),
    sessions=array(ID),
    uncommitted=array(ID),
)
