# SPDX-License-Identifier: Apache-2.0
"""Shows people how far a job is while they wait for it."""

from typing import Any, TextIO

from ebackup_service.cmd.manage import output
from ebackup_service.server.catalog import job as job_rows

_STEP = 10


def describe(job: job_rows.Job) -> str:
    """State and progress in one short line."""
    shown = job.progress
    parts = [f'{job.kind} {job.state}']
    if shown.get('percent') is not None:
        parts.append(f'{shown["percent"]} %')
    if shown.get('bytes_total'):
        done = output.size(shown.get('bytes_done') or 0)
        parts.append(f'{done} of {output.size(shown["bytes_total"])}')
    if not job.finished and shown.get('rate'):
        parts.append(f'{output.size(shown["rate"])}/s')
    if not job.finished and shown.get('remaining') is not None:
        parts.append(f'{shown["remaining"]} s left')
    return ', '.join(parts)


class Line:
    """One line that is rewritten on a terminal, a few lines in a log."""

    def __init__(self, stream: TextIO | None) -> None:
        """:param stream: None: show nothing"""
        self._stream = stream
        self._rewrites = stream is not None and stream.isatty()
        self._told: Any = None
        self._width = 0

    def show(self, job: job_rows.Job) -> None:
        if self._stream is None:
            return
        text = describe(job)
        if self._rewrites:
            self._stream.write('\r' + text.ljust(self._width))
            self._width = len(text)
        else:
            step = (job.state, (job.progress.get('percent') or 0) // _STEP)
            if step == self._told:
                return
            self._told = step
            self._stream.write(text + '\n')
        self._stream.flush()

    def end(self) -> None:
        if self._stream is not None and self._width:
            self._stream.write('\n')
