# SPDX-License-Identifier: Apache-2.0
"""The table at the end of the demonstration."""

import dataclasses
import datetime
from typing import Any

_HEADINGS = (
    'on the volume',
    'changed',
    'read',
    'stored',
    'written',
    'seconds',
    'SHA-256',
)


@dataclasses.dataclass(frozen=True)
class Line:
    """One row; bytes and seconds, None where there are none."""

    what: str
    on_volume: int | None = None
    changed: int | None = None
    read: int | None = None
    stored: int | None = None
    written: int | None = None
    seconds: float | None = None
    verdict: str = ''


def seconds(job: dict[str, Any]) -> float | None:
    """Return how long the job of the eBackup service ran."""
    began, ended = job.get('started_at'), job.get('finished_at')
    if not began or not ended:
        return None
    parse = datetime.datetime.fromisoformat
    return (parse(ended) - parse(began)).total_seconds()


def text(lines: list[Line]) -> str:
    rows = [('', *_HEADINGS)]
    for line in lines:
        figures = [line.on_volume, line.changed, line.read]
        figures += [line.stored, line.written]
        elapsed = '' if line.seconds is None else f'{line.seconds:.1f}'
        cells = ['' if n is None else f'{n:,}' for n in figures]
        rows.append((line.what, *cells, elapsed, line.verdict))
    # Nothing is said of what nobody knows of any line.
    columns = [c for c in zip(*rows, strict=True) if any(c[1:])]
    rows = [*zip(*columns, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        f'{row[0]:{widths[0]}}'
        + ''.join(
            f'  {cell:>{width}}'
            for cell, width in zip(row[1:], widths[1:], strict=True)
        )
        for row in rows
    )
