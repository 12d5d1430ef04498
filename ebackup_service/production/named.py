# SPDX-License-Identifier: Apache-2.0
"""A source of which somebody else says what changed."""

from collections.abc import Iterable
from collections.abc import Iterator

from ebackup_service.production import base


class NamedSource:
    """Another source, of which only some extents have changed.

    :param changes: offset and length of each; checked by who reads them
    """

    gaps = base.ExtentKind.UNCHANGED

    def __init__(
        self, source: base.Source, changes: Iterable[tuple[int, int]]
    ) -> None:
        self.size = source.size
        self.waits = source.waits
        self.memory = source.memory
        self._source = source
        self._changes = list(changes)

    def extents(self) -> Iterator[base.Extent]:
        for offset, length in self._changes:
            yield base.Extent(offset, length, base.ExtentKind.DATA)

    def expect(self, offset: int, length: int) -> None:
        self._source.expect(offset, length)

    def read(self, offset: int, buffer: memoryview) -> memoryview:
        return self._source.read(offset, buffer)

    def confirm(self) -> None:
        self._source.confirm()

    def close(self) -> None:
        self._source.close()
