# SPDX-License-Identifier: Apache-2.0
"""Waits for a job and shows how far it is, on standard error."""

import argparse
import sys
import time
from typing import Any, TextIO

from osc_lib import exceptions

from ebackup_driver import client as clients
from ebackup_driver import errors
from ebackup_driver.osc import output
from ebackup_driver import resources

_DELAY = 0.5
_STEP = 10


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--wait',
        action='store_true',
        help='wait until the job has ended, showing its progress',
    )


def wait(client: clients.Client, job: resources.Job) -> resources.Job:
    """Return the job when it succeeded. It goes on if this is interrupted.

    :raises CommandError: it did not
    """
    job = follow(client, job)
    problem = failure(job)
    if problem is not None:
        raise exceptions.CommandError(problem)
    return job


def failure(job: resources.Job) -> str | None:
    """Return what to say of a job that has ended; None if it succeeded."""
    try:
        job.raise_for_failure()
    except errors.JobFailed as error:
        return f'{job.kind} job {job.id} {job.state}: {error}'
    return None


def follow(client: clients.Client, job: resources.Job) -> resources.Job:
    """Return the job when it has ended, however it did."""
    line = _Line(sys.stderr)
    try:
        while not job.ended:
            line.show(job)
            time.sleep(_DELAY)
            job = client.job(job.id)
        line.show(job)
    finally:
        line.end()
    return job


def describe(job: resources.Job) -> str:
    """Return state and progress of a job in one short line."""
    parts = [f'{job.kind} {job.state}']
    advance = job.advance
    if advance.percent is not None:
        parts.append(f'{advance.percent:.0f} %')
    if advance.bytes_total:
        done = output.in_units(advance.bytes_done or 0)
        parts.append(f'{done} of {output.in_units(advance.bytes_total)}')
    if not job.ended and advance.rate:
        parts.append(f'{output.in_units(advance.rate)}/s')
    if not job.ended and advance.remaining is not None:
        parts.append(f'{advance.remaining:.0f} s left')
    return ', '.join(parts)


class _Line:
    """One line that is rewritten on a terminal, a few lines in a log."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._rewrites = stream.isatty()
        self._shown: Any = None
        self._width = 0

    def show(self, job: resources.Job) -> None:
        text = describe(job)
        if self._rewrites:
            self._stream.write('\r' + text.ljust(self._width))
            self._width = len(text)
        else:
            step = (job.state, int((job.advance.percent or 0) // _STEP))
            if step == self._shown:
                return
            self._shown = step
            self._stream.write(text + '\n')
        self._stream.flush()

    def end(self) -> None:
        if self._rewrites and self._width:
            self._stream.write('\n')
