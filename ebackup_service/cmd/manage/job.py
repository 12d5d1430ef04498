# SPDX-License-Identifier: Apache-2.0
"""Jobs."""

import argparse
from collections.abc import Iterator
from typing import Any

from ebackup_service.api.schemas import job as schemas
from ebackup_service.api.views import job as views
from ebackup_service.cmd.manage import command
from ebackup_service.cmd.manage import waiting
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import jobs

COLUMNS = (
    'id',
    'kind',
    'state',
    'repository',
    'volume_id',
    'proxy',
    'percent',
    'created_at',
    'finished_at',
)


def add_to(nouns: command.Nouns) -> None:
    verbs = command.noun(nouns, 'job', 'jobs')
    parser = command.verb(verbs, 'list', list_jobs, 'list jobs, newest first')
    parser.add_argument('--state', choices=schemas.STATES)
    parser.add_argument('--kind', choices=schemas.KINDS)
    parser.add_argument('--image-id', metavar='ID')
    parser = command.verb(verbs, 'show', show, 'show a job and its progress')
    parser.add_argument('id', metavar='ID')
    parser = command.verb(verbs, 'cancel', cancel, 'cancel a job')
    parser.add_argument('id', metavar='ID')
    command.add_waiting(parser)


def list_jobs(context: command.Context, asked: argparse.Namespace) -> int:
    found = [_row(job) for job in _every(context, asked)]
    context.out.many('jobs', found, COLUMNS)
    return 0


def _every(
    context: command.Context, asked: argparse.Namespace
) -> Iterator[job_rows.Job]:
    marker = None
    while True:
        found, marker = jobs.list(
            context.catalog,
            state=asked.state,
            kind=asked.kind,
            image_id=asked.image_id,
            marker=marker,
        )
        yield from found
        if marker is None:
            return


def _row(job: job_rows.Job) -> dict[str, Any]:
    shown = views.show(job)
    return shown | {'percent': shown['progress']['percent']}


def show(context: command.Context, asked: argparse.Namespace) -> int:
    job = jobs.show(context.catalog, asked.id)
    context.out.one(job=views.show(job))
    return 0


def cancel(context: command.Context, asked: argparse.Namespace) -> int:
    """Ask for the end of a job; that it is cancelled then is no failure."""
    job = jobs.cancel(context.catalog, asked.id)
    code = waiting.answer(context, asked, job)
    return 0 if code == waiting.FAILED else code
