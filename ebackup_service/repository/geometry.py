# SPDX-License-Identifier: Apache-2.0
"""The shape of a tree; section "Tree" of the format."""

import dataclasses

from ebackup_service.repository import page
from ebackup_service.repository import record

MIN_CHUNK_SIZE = 4096
MAX_CHUNK_SIZE = record.MAX_CHUNK
MAX_SIZE = 2**63 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Geometry:
    """What follows from a volume's size and its chunk size, both bytes."""

    size: int
    chunk_size: int

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise ValueError(f'impossible size of a volume: {self.size}')
        chunk_size = self.chunk_size
        if not MIN_CHUNK_SIZE <= chunk_size <= MAX_CHUNK_SIZE or chunk_size & (
            chunk_size - 1
        ):
            raise ValueError(
                f'chunk size {chunk_size} is no power of two from '
                f'{MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}'
            )

    @property
    def leaf_span(self) -> int:
        """Bytes that a leaf covers."""
        return page.FANOUT * self.chunk_size

    @property
    def chunks(self) -> int:
        return -(-self.size // self.chunk_size)

    @property
    def leaves(self) -> int:
        return -(-self.size // self.leaf_span)

    @property
    def height(self) -> int:
        """Level of the root page."""
        height = 0
        while page.FANOUT**height < self.leaves:
            height += 1
        return height

    def slots(self, level: int, index: int) -> int:
        """How many slots of a page lie within the volume, 0 to 256."""
        units = self.chunks
        for _ in range(level):
            units = -(-units // page.FANOUT)
        return max(0, min(page.FANOUT, units - index * page.FANOUT))

    def covers(self, level: int, index: int) -> tuple[int, int]:
        """(offset, length) of the bytes that a page covers."""
        span = self.leaf_span * page.FANOUT**level
        start = min(index * span, self.size)
        return start, min(span, self.size - start)

    def chunk_length(self, chunk: int) -> int:
        """Bytes of a chunk: less than the chunk size for the last one."""
        return max(
            0, min(self.chunk_size, self.size - chunk * self.chunk_size)
        )
