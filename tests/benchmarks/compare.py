# SPDX-License-Identifier: Apache-2.0
"""Whether two files hold the same, holes being zeros."""

import itertools
import os
import pathlib

from tests.benchmarks import data
from tests.benchmarks import process


def same(expected: pathlib.Path, found: pathlib.Path) -> None:
    """Read what is allocated in either of them.

    :raises Failure: they differ
    """
    if expected.stat().st_size != found.stat().st_size:
        raise process.Failure(f'{found} has another size than {expected}')
    with (
        expected.open('rb', buffering=0) as one,
        found.open('rb', buffering=0) as other,
    ):
        size = os.fstat(one.fileno()).st_size
        for start, end in _union(
            data.extents(one.fileno(), size),
            data.extents(other.fileno(), size),
        ):
            for offset in range(start, end, data.MIB):
                length = min(data.MIB, end - offset)
                if os.pread(one.fileno(), length, offset) != os.pread(
                    other.fileno(), length, offset
                ):
                    raise process.Failure(
                        f'{found} differs from {expected} between bytes '
                        f'{offset} and {offset + length}'
                    )


def _union(*lists: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(itertools.chain(*lists)):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
