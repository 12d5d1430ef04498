# SPDX-License-Identifier: Apache-2.0
"""The root of an image; section "Root" of the format."""

from collections.abc import Mapping
import dataclasses
from typing import Any, Self

from ebackup_service.repository import config
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import fields
from ebackup_service.repository import geometry
from ebackup_service.repository import layout
from ebackup_service.repository import location

KIND = 'root'


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """Whose images they are: Cinder's ids of project and volume."""

    project_id: str
    volume_id: str

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What dataclasses.asdict made of it.

        :raises ValueError: a member is missing, or not what it should be
        """
        return cls(
            project_id=fields.text(content, 'project_id'),
            volume_id=fields.text(content, 'volume_id'),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class ChangeSource:
    """How changes were found: 'compare', or a production storage's way.

    :ivar token: what the next difference starts from there, if anything
    """

    kind: str
    token: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Root:
    """One image.

    :ivar size: of the volume, bytes
    :ivar chunk_size: bytes
    :ivar tree: the root page, None for a volume of zeros or without bytes
    :ivar base_image: what it was compared with; never needed for reading
    :ivar record: Cinder's whole record of the backup
    :ivar volume_metadata: what Cinder's get_metadata gave
    :ivar session_id: filled in by the session that commits it
    """

    image_id: str
    chain: Chain
    generation: int
    size: int
    chunk_size: int
    tree: location.Locator | None
    created_at: str = dataclasses.field(default_factory=fields.now)
    base_image: str | None = None
    change_source: ChangeSource = ChangeSource('compare')
    record: dict[str, Any] = dataclasses.field(default_factory=dict)
    volume_metadata: str | None = None
    statistics: dict[str, Any] = dataclasses.field(default_factory=dict)
    session_id: str | None = None
    domain: str = config.DOMAIN

    def __post_init__(self) -> None:
        geometry.Geometry(self.size, self.chunk_size)
        if not layout.is_uuid(self.image_id):
            raise ValueError(f'not a UUID in lower case: {self.image_id!r}')
        if not 0 <= self.generation <= location.U32:
            raise ValueError(f'impossible generation {self.generation}')
        if self.tree is not None and self.tree.pack.kind != location.PAGE:
            raise ValueError('the tree is not in a page pack')

    def to_json(self) -> dict[str, Any]:
        content = dataclasses.asdict(self)
        content['tree'] = None if self.tree is None else self.tree.to_json()
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of to_json.

        :raises ValueError: a member is missing, or not what it should be
        """
        source = fields.mapping(content, 'change_source')
        return cls(
            image_id=fields.uuid_text(content, 'image_id'),
            chain=Chain.from_json(fields.mapping(content, 'chain')),
            generation=fields.number(content, 'generation', location.U32),
            size=fields.number(content, 'size'),
            chunk_size=fields.number(content, 'chunk_size'),
            tree=fields.locator_or_none(content, 'tree'),
            created_at=fields.text(content, 'created_at'),
            base_image=fields.text_or_none(content, 'base_image'),
            change_source=ChangeSource(
                kind=fields.text(source, 'kind'),
                token=fields.text_or_none(source, 'token'),
            ),
            record=fields.mapping(content, 'record'),
            volume_metadata=fields.text_or_none(content, 'volume_metadata'),
            statistics=fields.mapping(content, 'statistics'),
            session_id=(
                None
                if content.get('session_id') is None
                else fields.uuid_text(content, 'session_id')
            ),
            domain=fields.text(content, 'domain'),
        )

    def to_bytes(self) -> bytes:
        """The bytes of the object.

        :raises ValueError: record or statistics are no JSON, or too long
        """
        return document.seal(KIND, self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """The inverse of to_bytes; ``name`` of the object, for messages.

        :raises Corrupt: not valid
        :raises UnsupportedFormat: of a newer format, or another domain
        """
        content = document.unseal(KIND, name, data)
        try:
            root = cls.from_json(content)
        except ValueError as error:
            raise errors.Corrupt(KIND, name, str(error)) from error
        if root.domain != config.DOMAIN:
            raise errors.UnsupportedFormat(
                f'{name} belongs to the domain {root.domain[:40]!r}, which '
                'this version does not know; upgrade'
            )
        return root
