# SPDX-License-Identifier: Apache-2.0
"""Commit markers and tombstones; section "Root" of the format."""

from collections.abc import Mapping
import dataclasses
import re
from typing import Any, Self

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import fields
from ebackup_service.repository import location
from ebackup_service.repository import root as image_root

COMMIT = 'commit'
TOMBSTONE = 'tombstone'

_DIGEST = re.compile('[0-9a-f]{64}')


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """Makes an image count.

    :ivar root: hash of the bytes of the root, hex
    """

    image_id: str
    root: str
    generation: int
    committed_at: str = dataclasses.field(default_factory=fields.now)

    def to_bytes(self) -> bytes:
        return document.seal(COMMIT, dataclasses.asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes, name: str, image_id: str) -> Self:
        """The inverse of to_bytes.

        :raises Corrupt: not valid, or of another image than ``image_id``
        """
        content = document.unseal(COMMIT, name, data)
        try:
            marker = cls(
                image_id=fields.uuid_text(content, 'image_id'),
                root=fields.text(content, 'root'),
                generation=fields.number(content, 'generation', location.U32),
                committed_at=fields.text(content, 'committed_at'),
            )
            if _DIGEST.fullmatch(marker.root) is None:
                raise ValueError('root is no hash')
            if marker.image_id != image_id:
                raise ValueError(f'it is of image {marker.image_id}')
        except ValueError as error:
            raise errors.Corrupt(COMMIT, name, str(error)) from error
        return marker


@dataclasses.dataclass(frozen=True, slots=True)
class Tombstone:
    """Says that an image was deleted.

    A damaged one says it as well, by its key: only its age is unknown then.

    :ivar chain: of the image, None if its root could not be read any more
    :ivar generation: of the image, None if that is not known either
    """

    image_id: str
    deleted_at: str = dataclasses.field(default_factory=fields.now)
    chain: image_root.Chain | None = None
    generation: int | None = None

    def to_bytes(self) -> bytes:
        return document.seal(TOMBSTONE, dataclasses.asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes, name: str, image_id: str) -> Self:
        """The inverse of to_bytes.

        :raises Corrupt: not valid, or of another image than ``image_id``
        """
        content = document.unseal(TOMBSTONE, name, data)
        try:
            tombstone = cls(
                image_id=fields.uuid_text(content, 'image_id'),
                deleted_at=fields.text(content, 'deleted_at'),
                chain=_chain_or_none(content),
                generation=(
                    None
                    if content.get('generation') is None
                    else fields.number(content, 'generation', location.U32)
                ),
            )
            if tombstone.image_id != image_id:
                raise ValueError(f'it is of image {tombstone.image_id}')
        except ValueError as error:
            raise errors.Corrupt(TOMBSTONE, name, str(error)) from error
        return tombstone


def _chain_or_none(content: Mapping[str, Any]) -> image_root.Chain | None:
    if content.get('chain') is None:
        return None
    return image_root.Chain.from_json(fields.mapping(content, 'chain'))
