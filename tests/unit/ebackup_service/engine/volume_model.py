# SPDX-License-Identifier: Apache-2.0
"""What a volume must hold, and sources and jobs that a model makes of it."""

import dataclasses

from ebackup_service.engine import control
from ebackup_service.production import base as production
from ebackup_service.repository import tree

CHUNK = 4096


@dataclasses.dataclass
class Model:
    """What a volume holds: block number -> bytes, absent ones are zeros."""

    size: int = 0
    blocks: dict[int, bytes] = dataclasses.field(default_factory=dict)

    def write(self, offset, content):
        position = 0
        while position < len(content):
            number, inside = divmod(offset + position, CHUNK)
            piece = content[position : position + CHUNK - inside]
            old = self.blocks.get(number, bytes(CHUNK))
            new = old[:inside] + piece + old[inside + len(piece) :]
            if any(new):
                self.blocks[number] = new
            else:
                self.blocks.pop(number, None)
            position += len(piece)

    def resize(self, size):
        if size < self.size:
            number, inside = divmod(size, CHUNK)
            kept = self.blocks.get(number, b'')[:inside]
            for gone in [n for n in self.blocks if n >= number]:
                del self.blocks[gone]
            self.write(number * CHUNK, kept)
        self.size = size

    def changed(self, other):
        """Numbers of the blocks that differ."""
        return sorted(
            number
            for number in self.blocks.keys() | other.blocks.keys()
            if self.blocks.get(number) != other.blocks.get(number)
        )


@dataclasses.dataclass(frozen=True)
class Image:
    model: Model
    tree: tree.Tree


class ChangedSource:
    """A source whose storage knows what changed since an image."""

    gaps = production.ExtentKind.UNCHANGED

    def __init__(self, source, numbers):
        self.size = source.size
        self.expect = source.expect
        self.read = source.read
        self.confirm = source.confirm
        self._numbers = numbers

    def extents(self):
        for number in self._numbers:
            start = number * CHUNK
            if start < self.size:
                yield production.Extent(
                    start,
                    min(CHUNK, self.size - start),
                    production.ExtentKind.DATA,
                )


class StopsSoon(control.Control):
    """A job that is cancelled after so many checks."""

    def __init__(self, checks):
        super().__init__()
        self._left = checks

    def check(self):
        self._left -= 1
        if self._left < 0:
            self.cancel('by the test')
        super().check()


class Closing:
    def __init__(self, closed, used):
        self._closed = closed
        self._used = used

    def __enter__(self):
        return self._used

    def __exit__(self, *failure):
        self._closed.close()
