# SPDX-License-Identifier: Apache-2.0
"""What a proxy finds in a repository whose catalog was lost; see ``messages``.

The values come from a storage that others may write to. So they are held to
what a catalog can store: a message that is none is refused before it is sent.
"""

import dataclasses
from typing import Any

from ebackup_service.rpc import message
from ebackup_service.rpc import schemas

# What a column of each kind holds, on every database.
_LARGEST = 2**63 - 1
_LAST_GENERATION = 2**31 - 2
# Nobody sends records that are nested more deeply than half of that.
_DEEPEST = 64


def _words(length: int) -> schemas.Schema:
    """Text without control characters and halves of characters."""
    return {
        'type': 'string',
        'minLength': 1,
        'maxLength': length,
        'pattern': '^[^\x00-\x1f\x7f\ud800-\udfff]*\\Z',
    }


def _number(most: int) -> schemas.Schema:
    return {**schemas.COUNT, 'maximum': most}


_CHAIN = {
    'project_id': _words(255),
    'volume_id': _words(36),
    'generation': _number(_LAST_GENERATION),
}
_IMAGE = schemas.record(
    id=schemas.ID,
    **_CHAIN,
    size=_number(_LARGEST),
    chunk_size=_number(2**31 - 1),
    tree=schemas.OPTIONAL_DOCUMENT,
    created_at=schemas.TEXT,
    incremental=schemas.FLAG,
    record=schemas.DOCUMENT,
    volume_metadata=schemas.OPTIONAL_TEXT,
    statistics=schemas.DOCUMENT,
)
_SPENT = schemas.record(
    **_CHAIN, chunk_size=schemas.optional(_number(2**31 - 1))
)
_FINDINGS = schemas.record(
    images=schemas.array(_IMAGE),
    spent=schemas.array(_SPENT),
    deleted=schemas.array(schemas.ID),
    floor=schemas.optional(_number(_LAST_GENERATION)),
)
_VERDICT = schemas.record(
    accepted=schemas.FLAG,
    added=schemas.COUNT,
    differences=schemas.array(schemas.TEXT),
)
_KNOWN = schemas.record(
    accepted=schemas.FLAG, image_ids=schemas.array(schemas.ID)
)


@dataclasses.dataclass(frozen=True)
class Image(message.Message):
    """An image that counts. ``created_at``: ISO 8601."""

    SCHEMA = _IMAGE

    id: str
    project_id: str
    volume_id: str
    generation: int
    size: int
    chunk_size: int
    tree: dict[str, Any] | None
    created_at: str
    incremental: bool
    record: dict[str, Any]
    volume_metadata: str | None
    statistics: dict[str, Any]

    @property
    def is_too_deep(self) -> bool:
        """Whether documents in it are nested beyond what is handled."""
        return not all(
            _is_shallow(part, _DEEPEST)
            for part in (self.tree, self.record, self.statistics)
        )


@dataclasses.dataclass(frozen=True)
class Spent(message.Message):
    """A generation that must not be used again; the image doesn't count."""

    SCHEMA = _SPENT

    project_id: str
    volume_id: str
    generation: int
    chunk_size: int | None


@dataclasses.dataclass(frozen=True)
class Findings(message.Message):
    """Some of what a rebuild has found.

    ``deleted``: ids of images with a tombstone. ``floor``: a generation that
    was used in some chain, of which it is not known which.
    """

    SCHEMA = _FINDINGS
    PARTS = {'images': Image, 'spent': Spent}

    images: list[Image]
    spent: list[Spent]
    deleted: list[str]
    floor: int | None = None


@dataclasses.dataclass(frozen=True)
class Verdict(message.Message):
    """What the catalog made of findings.

    ``added``: images that it did not know; ``differences``: sentences about
    those that it knew otherwise. Not ``accepted``: the asking job is no
    longer the one that rebuilds.
    """

    SCHEMA = _VERDICT

    accepted: bool
    added: int = 0
    differences: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Known(message.Message):
    """Some of the images that the catalog takes for available, by id.

    None: there are no more.
    """

    SCHEMA = _KNOWN

    accepted: bool
    image_ids: list[str] = dataclasses.field(default_factory=list)


def _is_shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(v, levels - 1) for v in inner)
