# SPDX-License-Identifier: Apache-2.0
"""Jobs."""

import argparse
from collections.abc import Iterator
from typing import Any

from ebackup_service.api.schemas import job as schemas
from ebackup_service.api.views import job as views
from ebackup_service.cmd.manage import command
from ebackup_service.cmd.manage import waiting
from ebackup_service.server.catalog import connection as connection_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import connections
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
    parser.add_argument(
        '--exported',
        action='store_true',
        help='ended ones for which Cinder may still export something',
    )
    parser = command.verb(verbs, 'show', show, 'show a job and its progress')
    parser.add_argument('id', metavar='ID')
    parser = command.verb(verbs, 'cancel', cancel, 'cancel a job')
    parser.add_argument('id', metavar='ID')
    command.add_waiting(parser)


def list_jobs(context: command.Context, asked: argparse.Namespace) -> int:
    rows = list(_every(context, asked))
    more = ('exported',) if asked.exported else ()
    context.out.many('jobs', rows, COLUMNS + more)
    return 0


def _every(
    context: command.Context, asked: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    marker = None
    since = connections.patience(context.conf) if asked.exported else None
    while True:
        found, marker = jobs.list(
            context.catalog,
            state=asked.state,
            kind=asked.kind,
            image_id=asked.image_id,
            exported=since,
            marker=marker,
        )
        # Page by page: a database takes so many ids in a statement only.
        exported = connections.of_jobs(context.catalog, found)
        for job in found:
            yield _row(job, exported[job.id])
        if marker is None:
            return


def _row(
    job: job_rows.Job, exported: list[connection_rows.Connection]
) -> dict[str, Any]:
    shown = views.listed(job, exported)
    return shown | {'percent': shown['progress']['percent']}


def show(context: command.Context, asked: argparse.Namespace) -> int:
    job = jobs.show(context.catalog, asked.id)
    exported = connections.of_jobs(context.catalog, [job])
    context.out.one(job=views.listed(job, exported[job.id]))
    return 0


def cancel(context: command.Context, asked: argparse.Namespace) -> int:
    """Ask for the end of a job; that it is cancelled then is no failure."""
    job = jobs.cancel(context.catalog, asked.id)
    code = waiting.answer(context, asked, job)
    return 0 if code == waiting.FAILED else code
