# SPDX-License-Identifier: Apache-2.0
"""Where a record is."""

from collections.abc import Mapping
from typing import Any, NamedTuple
import uuid

DATA = 1
PAGE = 2
KINDS = (DATA, PAGE)

U32 = 0xFFFFFFFF


class PackAddress(NamedTuple):
    """Which pack: 16 bytes of the session's UUID, DATA or PAGE, a u32."""

    session: bytes
    kind: int
    ordinal: int


class Locator(NamedTuple):
    """A record: ``offset`` and ``length`` are bytes in its pack.

    ``length`` includes the record's header; ``generation`` is that of the
    image whose session wrote it.
    """

    id: bytes
    pack: PackAddress
    offset: int
    length: int
    generation: int

    def to_json(self) -> dict[str, Any]:
        return {
            'id': self.id.hex(),
            'session': str(uuid.UUID(bytes=self.pack.session)),
            'kind': self.pack.kind,
            'ordinal': self.pack.ordinal,
            'offset': self.offset,
            'length': self.length,
            'generation': self.generation,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> 'Locator':
        """The inverse of to_json.

        :raises ValueError: something is missing, or not what it should be
        """
        try:
            record_id = bytes.fromhex(document['id'])
            session = uuid.UUID(document['session']).bytes
            kind = document['kind']
            numbers = [
                document[name]
                for name in ('ordinal', 'offset', 'length', 'generation')
            ]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f'not a locator: {error!r}') from error
        if len(record_id) != 32:
            raise ValueError('not a locator: the id has not 32 bytes')
        if type(kind) is not int or kind not in KINDS:
            raise ValueError(f'not a locator: unknown kind {kind!r}')
        for number in numbers:
            if type(number) is not int or not 0 <= number <= U32:
                raise ValueError(f'not a locator: {number!r} is no u32')
        ordinal, offset, length, generation = numbers
        return cls(
            record_id,
            PackAddress(session, kind, ordinal),
            offset,
            length,
            generation,
        )
