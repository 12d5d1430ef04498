# SPDX-License-Identifier: Apache-2.0
"""Checks what a storage says of its volume against what was found there.

Where nobody has confirmed yet that a storage's answers mean what we take them
for, everything is read, and what would have been missed is reported.
"""

from collections.abc import Iterator

import numpy as np

from ebackup_service.engine import plan
from ebackup_service.engine import runs
from ebackup_service.production import base as production
from ebackup_service.repository import difference
from ebackup_service.repository import extents
from ebackup_service.repository import page
from ebackup_service.repository import tree as repository_tree


class Whole:
    """A source of which nothing is believed that it says of its extents."""

    gaps = production.ExtentKind.DATA

    def __init__(self, source: production.Source) -> None:
        self.size = source.size
        self.waits = source.waits
        self.memory = source.memory
        self._source = source

    def extents(self) -> Iterator[production.Extent]:
        return iter(())

    def expect(self, offset: int, length: int) -> None:
        self._source.expect(offset, length)

    def read(self, offset: int, buffer: memoryview) -> memoryview:
        return self._source.read(offset, buffer)

    def confirm(self) -> None:
        self._source.confirm()

    def close(self) -> None:
        self._source.close()


def missed(
    source: production.Source,
    base: repository_tree.Tree,
    made: repository_tree.Tree,
) -> extents.Extents:
    """Chunks that are not what the source says of them.

    They are said to be unchanged and are not what the base has, or to be zeros
    and are not.

    :param source: that was not believed
    :param base: what its UNCHANGED refers to
    :param made: of the same chunk size, from all of the volume, durable
    :raises: ProductionError, RepositoryError
    """
    found = extents.Extents()
    trusted = plan.trusted(made.size, base.size, made.chunk_size)
    claims = plan.tasks(
        plan.cover(source.extents(), source.size, source.gaps, trusted),
        *(source.size, made.chunk_size, page.FANOUT),
    )
    changed = runs.Ahead(difference.leaves(made, base))
    for claim in claims:
        if isinstance(claim, plan.LeafTask):
            _compare(claim.leaf, claim.kinds, base, made, found)
        elif claim.kind is plan.HOLE:
            for leaf in made.leaves(claim.start, claim.stop):
                _compare(leaf, _all(plan.HOLE), base, made, found)
        else:
            for leaf in changed.within(claim.start, claim.stop):
                _compare(leaf, _all(plan.UNCHANGED), base, made, found)
    return found


def _all(kind: production.ExtentKind) -> plan.Kinds:
    return np.full(page.FANOUT, kind, dtype=np.uint8)


def _compare(
    leaf: int,
    kinds: plan.Kinds | None,
    base: repository_tree.Tree,
    made: repository_tree.Tree,
    found: extents.Extents,
) -> None:
    if kinds is None:
        return
    new = made.leaf(leaf)
    differ = difference.chunks(new, base.leaf(leaf))[: len(kinds)]
    wrong = differ & (kinds == plan.UNCHANGED)
    if new is not None:
        wrong |= new.present[: len(kinds)] & (kinds == plan.HOLE)
    _note(leaf, wrong, made, found)


def _note(
    leaf: int,
    mask: runs.Mask,
    made: repository_tree.Tree,
    found: extents.Extents,
) -> None:
    for first, stop in runs.of_mask(mask):
        offset = leaf * made.leaf_span + first * made.chunk_size
        end = leaf * made.leaf_span + stop * made.chunk_size
        found.add(offset, min(end, made.size) - offset)
