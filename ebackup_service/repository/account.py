# SPDX-License-Identifier: Apache-2.0
"""What a collection has counted of a chain; "Accounts" of the format."""

from collections.abc import Mapping
import dataclasses
from typing import Any, Self

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import fields
from ebackup_service.repository import location
from ebackup_service.repository import pack_counts
from ebackup_service.repository import survey

KIND = 'account'


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A tree that was counted.

    :ivar image_id: whose it is, if that image counted by then
    :ivar session_id: that wrote it, if that is known
    """

    image_id: str | None
    session_id: str | None
    summary: survey.Summary

    def to_json(self) -> dict[str, Any]:
        tree = self.summary.tree
        return {
            'image_id': self.image_id,
            'session_id': self.session_id,
            'generation': self.summary.generation,
            'size': self.summary.size,
            'tree': None if tree is None else tree.to_json(),
        }

    @classmethod
    def from_json(
        cls, chain: tuple[str, str, int], content: Mapping[str, Any]
    ) -> Self:
        """The inverse of to_json.

        :raises ValueError: a member is missing, or not what it should be
        """
        return cls(
            fields.text_or_none(content, 'image_id'),
            fields.text_or_none(content, 'session_id'),
            survey.Summary(
                chain,
                fields.number(content, 'generation', location.U32),
                fields.locator_or_none(content, 'tree'),
                fields.number(content, 'size'),
                chain[2],
            ),
        )


def order(entry: Entry) -> tuple[Any, ...]:
    """The key by which the entries of all chains are sorted."""
    summary = entry.summary
    tree = summary.tree
    return (
        summary.chain,
        summary.generation,
        () if tree is None else tree,
        entry.image_id or '',
    )


@dataclasses.dataclass(frozen=True)
class Account:
    """A pure function of its entries: whoever counts them counts the same.

    :ivar chain: project, volume, chunk size
    :ivar number: greater than that of the account before it
    :ivar entries: in the order in which they were compared
    :ivar packed: the counts; there are accounts of all chains at once
    """

    chain: tuple[str, str, int]
    number: int
    entries: tuple[Entry, ...]
    packed: bytes = dataclasses.field(repr=False)

    @property
    def counts(self) -> pack_counts.PackCounts:
        """The counts, which may be changed: they are made for each caller."""
        return pack_counts.PackCounts.unpacked(self.packed)

    def sessions(self) -> set[bytes]:
        """Whose packs are counted."""
        return pack_counts.sessions(self.packed)

    def to_bytes(self) -> bytes:
        """The bytes of the object.

        :raises ValueError: it is too long for a document
        """
        project_id, volume_id, chunk_size = self.chain
        return document.seal(
            KIND,
            {
                'chain': {'project_id': project_id, 'volume_id': volume_id},
                'chunk_size': chunk_size,
                'number': self.number,
                'entries': [entry.to_json() for entry in self.entries],
                'packs': self.counts.to_json(),
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """The inverse of to_bytes; ``name`` of the object, for messages.

        :raises Corrupt: not valid
        :raises UnsupportedFormat: of a newer format
        """
        content = document.unseal(KIND, name, data)
        try:
            chain = fields.mapping(content, 'chain')
            key = (
                fields.text(chain, 'project_id'),
                fields.text(chain, 'volume_id'),
                fields.number(content, 'chunk_size'),
            )
            counts = pack_counts.PackCounts.from_json(
                fields.mappings(content, 'packs')
            )
            if not counts.plausible:
                raise ValueError('it contradicts itself')
            return cls(
                key,
                fields.number(content, 'number'),
                tuple(
                    Entry.from_json(key, entry)
                    for entry in fields.mappings(content, 'entries')
                ),
                counts.packed(),
            )
        except ValueError as error:
            raise errors.Corrupt(KIND, name, str(error)) from error
