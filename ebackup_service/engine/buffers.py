# SPDX-License-Identifier: Apache-2.0
"""Memory that is allocated once per worker, to read into."""

import mmap
from typing import TypeAlias

import numpy as np
from numpy import typing as npt

from ebackup_service.engine import runs
from ebackup_service.repository import memory

WORD = 8  # bytes that are tested for zeros at a time
# Of a chunk, the words that tell of most that they aren't all zeros.
_SAMPLE = slice(None, None, mmap.PAGESIZE // WORD)

Words: TypeAlias = npt.NDArray[np.uint64]


class ChunkBuffer:
    """Page-aligned memory, seen as bytes, as chunks and as words.

    A chunk's memoryview is made once, and not each time that it is read.

    :param chunk_size: bytes, a multiple of the page size
    :param size: bytes wanted; rounded down to whole chunks, at least one
    """

    def __init__(self, chunk_size: int, size: int) -> None:
        self.count = max(size // chunk_size, 1)
        self.chunk_size = chunk_size
        self._memory = memory.anonymous(self.count * chunk_size)
        self.bytes = memoryview(self._memory)
        self.chunks = [
            self.bytes[start : start + chunk_size]
            for start in range(0, len(self.bytes), chunk_size)
        ]
        self._words = self._in_words(self.bytes)

    def give_back(self) -> None:
        """Forget the content, and take no memory until it is used again."""
        self._memory.madvise(mmap.MADV_DONTNEED)

    def chunks_of(
        self, data: memoryview
    ) -> tuple[list[memoryview], list[bool]]:
        """Chunks of what was read, and which hold anything but zeros.

        :param data: not more than there is room for; from the beginning of
            this memory, or of any other
        """
        length = len(data)
        if data.obj is not self._memory:
            if length % self.chunk_size == 0:
                starts = range(0, length, self.chunk_size)
                chunks = [data[i : i + self.chunk_size] for i in starts]
                return chunks, _not_zero(self._in_words(data))
            # A shorter last chunk needs room behind it.
            self.bytes[:length] = data
        return self.cut(length), self.not_zero(length)

    def cut(self, length: int) -> list[memoryview]:
        """The chunks of the first length bytes; the last may be shorter."""
        whole, rest = divmod(length, self.chunk_size)
        if not rest:
            return self.chunks[:whole]
        return [*self.chunks[:whole], self.chunks[whole][:rest]]

    def not_zero(self, length: int) -> list[bool]:
        """Which chunks of the first length bytes hold anything but zeros.

        If the last chunk is a shorter one, what is behind it is cleared.
        """
        count, rest = divmod(length, self.chunk_size)
        if rest:
            count += 1
            self.bytes[length : count * self.chunk_size] = bytes(
                self.chunk_size - rest
            )
        return _not_zero(self._words[:count])

    def _in_words(self, data: memoryview) -> Words:
        """Of whole chunks; one row for each."""
        return np.frombuffer(data, dtype=np.uint64).reshape(
            -1, self.chunk_size // WORD
        )


def _not_zero(words: Words) -> list[bool]:
    found = np.bitwise_or.reduce(words[:, _SAMPLE], axis=1)
    if not found.all():
        for first, stop in runs.of_mask(found == 0):
            found[first:stop] = np.bitwise_or.reduce(words[first:stop], axis=1)
    answer: list[bool] = (found != 0).tolist()
    return answer
