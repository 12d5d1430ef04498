# SPDX-License-Identifier: Apache-2.0
"""How often packs are referred to; section "Accounts" of the format."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
import uuid

import numpy as np
import numpy.typing as npt

from ebackup_service.repository import fields
from ebackup_service.repository import location

_BLOCK = 64  # ordinals; those of a session are mostly dense
_COUNT = np.dtype([('count', '<i8'), ('sum', '<u8')])
_MODULUS = 2**64


class PackCounts:
    """By pack, how many references there are, and the sum of their weights.

    About 22 bytes a pack. Two that are equal count the same.
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[bytes, int, int], npt.NDArray[np.void]] = {}

    def add(
        self,
        addresses: Iterable[location.PackAddress],
        weight: int,
        times: int = 1,
    ) -> None:
        """Count a reference to each of some packs.

        :param weight: of the reference, a u64
        :param times: how many; fewer than none: they are gone
        """
        change = weight * times
        for session, kind, ordinal in addresses:
            key = (session, kind, ordinal // _BLOCK)
            block = self._blocks.get(key)
            if block is None:
                block = self._blocks[key] = np.zeros(_BLOCK, _COUNT)
            at = ordinal % _BLOCK
            block['count'][at] += times
            block['sum'][at] = (int(block['sum'][at]) + change) % _MODULUS

    @property
    def plausible(self) -> bool:
        """Whether no pack has references without weight, or the reverse.

        And none fewer than no references.
        """
        return not any(
            (block['count'] < 0).any()
            or ((block['count'] == 0) != (block['sum'] == 0)).any()
            for block in self._blocks.values()
        )

    def __iter__(self) -> Iterator[location.PackAddress]:
        """All packs that are referred to."""
        for (session, kind, number), block in self._blocks.items():
            for at in block['count'].nonzero()[0].tolist():
                yield location.PackAddress(session, kind, number * _BLOCK + at)

    def __contains__(self, address: location.PackAddress) -> bool:
        session, kind, ordinal = address
        block = self._blocks.get((session, kind, ordinal // _BLOCK))
        return block is not None and bool(block['count'][ordinal % _BLOCK])

    def sessions(self) -> set[bytes]:
        """Whose packs these are."""
        return {session for session, _, _ in self._blocks}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PackCounts) and self.to_json() == other.to_json()
        )

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> 'PackCounts':
        made = PackCounts()
        made._blocks = {k: block.copy() for k, block in self._blocks.items()}
        return made

    def to_json(self) -> list[dict[str, Any]]:
        """One object a session and kind, in a fixed order."""
        found: dict[tuple[bytes, int], dict[str, Any]] = {}
        for (session, kind, number), block in sorted(self._blocks.items()):
            used = block['count'].nonzero()[0].tolist()
            if not used:
                continue
            entry = found.setdefault(
                (session, kind),
                {
                    'session': str(uuid.UUID(bytes=session)),
                    'kind': kind,
                    'ordinals': [],
                    'counts': [],
                    'sums': [],
                },
            )
            entry['ordinals'] += [number * _BLOCK + at for at in used]
            entry['counts'] += block['count'][used].tolist()
            entry['sums'] += [f'{s:016x}' for s in block['sum'][used].tolist()]
        return list(found.values())

    @classmethod
    def from_json(cls, content: Iterable[Mapping[str, Any]]) -> 'PackCounts':
        """The inverse of to_json.

        :raises ValueError: something is missing, or not what it should be
        """
        made = cls()
        for entry in content:
            session = uuid.UUID(fields.uuid_text(entry, 'session')).bytes
            kind = fields.number(entry, 'kind')
            if kind not in location.KINDS:
                raise ValueError(f'unknown kind {kind}')
            for ordinal, count, weights in zip(
                fields.numbers(entry, 'ordinals', location.U32),
                fields.numbers(entry, 'counts'),
                fields.texts(entry, 'sums'),
                strict=True,
            ):
                address = location.PackAddress(session, kind, ordinal)
                made.add([address], 0, count)
                made.add([address], _weight(weights), 1)
                made.add([address], 0, -1)
        return made


def _weight(text: str) -> int:
    if len(text) != 16:
        raise ValueError(f'not a sum of weights: {text[:20]!r}')
    return int(text, 16)
