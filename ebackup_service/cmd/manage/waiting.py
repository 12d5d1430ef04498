# SPDX-License-Identifier: Apache-2.0
"""Waits for jobs that commands have started, and shows how far they are."""

import argparse
from collections.abc import Callable
import sys
import time
from typing import Any

from ebackup_service.api.views import job as views
from ebackup_service.cmd.manage import command
from ebackup_service.cmd.manage import progress
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import jobs

POLL = 0.2
FAILED = 4
TIMED_OUT = 5


def answer(
    context: command.Context,
    asked: argparse.Namespace,
    job: job_rows.Job,
    **objects: Callable[[], dict[str, Any]],
) -> int:
    """Print the job, after its end if that was asked for; the exit code.

    :param objects: what else to print, asked for when the wait is over
    """
    if asked.wait:
        context.out.note(f'Waiting for {job.kind} job {job.id} ...')
        job = _wait(context, job, asked)
    shown = {name: view() for name, view in objects.items()}
    context.out.one(**shown, job=views.show(job))
    if not asked.wait:
        return 0
    if not job.finished:
        return TIMED_OUT
    result = job.result or {}
    if job.state != job_rows.SUCCEEDED or any(
        result.get(found) for found in ('problems', 'differences')
    ):
        return FAILED
    return 0


def _wait(
    context: command.Context, job: job_rows.Job, asked: argparse.Namespace
) -> job_rows.Job:
    deadline = None
    if asked.timeout is not None:
        deadline = time.monotonic() + asked.timeout
    line = progress.Line(None if asked.json else sys.stderr)
    try:
        line.show(job)
        while not job.finished:
            if deadline is not None and time.monotonic() >= deadline:
                break
            time.sleep(POLL)
            job = jobs.show(context.catalog, job.id)
            line.show(job)
    finally:
        line.end()
    return job
