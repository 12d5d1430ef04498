# SPDX-License-Identifier: Apache-2.0
"""A source that says what changed, as a storage with snapshots does."""

from collections.abc import Iterable
from collections.abc import Iterator
import json
import pathlib

from ebackup_service.production import base as production

Change = tuple[int, int]  # where it begins, and its length, in bytes


class ListedSource:
    """Another source, of which only some extents have changed."""

    gaps = production.ExtentKind.UNCHANGED

    def __init__(
        self, source: production.Source, changes: Iterable[Change]
    ) -> None:
        self.size = source.size
        self._source = source
        self._changes = list(changes)

    def extents(self) -> Iterator[production.Extent]:
        for offset, length in self._changes:
            yield production.Extent(offset, length, production.ExtentKind.DATA)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._source.read_into(offset, buffer)

    def close(self) -> None:
        self._source.close()


def load(path: str) -> list[Change]:
    """From a JSON list of pairs."""
    return [
        (offset, length)
        for offset, length in json.loads(pathlib.Path(path).read_text())
    ]
