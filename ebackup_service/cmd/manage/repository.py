# SPDX-License-Identifier: Apache-2.0
"""Repositories."""

import argparse
import sys

from ebackup_service.api.schemas import repository as schemas
from ebackup_service.api import validation
from ebackup_service.api.views import repository as views
from ebackup_service.cmd.manage import command
from ebackup_service.cmd.manage import records
from ebackup_service.cmd.manage import waiting
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import records as exporting
from ebackup_service.server import repositories
from ebackup_service.server import takeover

COLUMNS = ('name', 'url', 'state', 'created_at', 'collected_at')


def add_to(nouns: command.Nouns) -> None:
    verbs = command.noun(nouns, 'repository', 'repositories')
    command.verb(verbs, 'list', list_repositories, 'list repositories')
    parser = command.verb(verbs, 'create', create, 'create a repository')
    _add_name(parser)
    parser.add_argument(
        'url', metavar='URL', help='for instance file:///srv/backup'
    )
    command.add_waiting(parser)
    parser = command.verb(
        verbs,
        'takeover',
        take_over,
        'take over a repository whose service is gone for good: that one can '
        'not write to it any more. Afterwards, rebuild the catalog from it',
    )
    _add_name(parser)
    parser.add_argument('url', metavar='URL', help='where it is')
    parser.add_argument(
        'id', metavar='ID', help='its id, as its repository.json says'
    )
    command.add_waiting(parser)
    parser = command.verb(verbs, 'show', show, 'show a repository')
    _add_name(parser)
    parser = command.verb(
        verbs,
        'delete',
        delete,
        'forget a repository that has no images; what is stored there stays',
    )
    _add_name(parser)
    parser = command.verb(
        verbs, 'usage', usage, 'show the space that a repository takes'
    )
    _add_name(parser)
    parser = command.verb(
        verbs, 'collect', collect, 'give back what deleted images took', 'gc'
    )
    _add_name(parser)
    command.add_waiting(parser)
    parser = command.verb(
        verbs, 'check', check, 'check that a repository is undamaged'
    )
    _add_name(parser)
    parser.add_argument(
        '--read-data',
        action='store_true',
        help='read every chunk, too, not only what refers to them',
    )
    parser.add_argument(
        '--fraction',
        type=_fraction,
        help='read this part of the chunks, from 0 to 1: those that were not '
        'read for longest',
    )
    command.add_waiting(parser)
    parser = command.verb(
        verbs,
        'rebuild-catalog',
        rebuild,
        'let the catalog know again what a repository holds; what it knows '
        'already is compared and kept',
    )
    _add_name(parser)
    command.add_waiting(parser)
    parser = command.verb(
        verbs,
        'export-records',
        export_records,
        'write what it takes to import the backups into Cinder: a line for '
        'each available image, with its project, its id, and the two values '
        'that Cinder asks for: backup_service and backup_url',
    )
    _add_name(parser)
    parser.add_argument('--project-id', metavar='ID', help='only of it')
    parser.add_argument('--volume-id', metavar='ID', help='only of it')
    parser.add_argument(
        '--output',
        metavar='FILE',
        help='a new file for them, instead of standard output',
    )


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('name', metavar='NAME')


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError('more than 0 and at most 1')
    return value


def list_repositories(
    context: command.Context, asked: argparse.Namespace
) -> int:
    found = [views.show(r) for r in repositories.list(context.catalog)]
    context.out.many('repositories', found, COLUMNS)
    return 0


def create(context: command.Context, asked: argparse.Namespace) -> int:
    wanted = {'name': asked.name, 'url': asked.url}
    validation.check(wanted, schemas.REPOSITORY, 'repository')
    _, job = repositories.create(context.catalog, asked.name, asked.url)
    return _answer(context, asked, job)


def take_over(context: command.Context, asked: argparse.Namespace) -> int:
    wanted = {'name': asked.name, 'url': asked.url, 'id': asked.id}
    validation.check(wanted, schemas.TAKEOVER, 'repository')
    _, job = takeover.begin(context.catalog, asked.name, asked.url, asked.id)
    return _answer(context, asked, job)


def _answer(
    context: command.Context, asked: argparse.Namespace, job: job_rows.Job
) -> int:
    """With the repository as the job leaves it."""
    return waiting.answer(
        context,
        asked,
        job,
        repository=lambda: views.show(
            repositories.show(context.catalog, asked.name)
        ),
    )


def show(context: command.Context, asked: argparse.Namespace) -> int:
    repository = repositories.show(context.catalog, asked.name)
    context.out.one(repository=views.show(repository))
    return 0


def delete(context: command.Context, asked: argparse.Namespace) -> int:
    repository = repositories.delete(context.catalog, context.conf, asked.name)
    context.out.one(repository=views.deleted(repository))
    return 0


def usage(context: command.Context, asked: argparse.Namespace) -> int:
    figures = repositories.usage(context.catalog, asked.name)
    context.out.one(usage=views.usage(figures))
    return 0


def collect(context: command.Context, asked: argparse.Namespace) -> int:
    job = repositories.collect(context.catalog, asked.name)
    return waiting.answer(context, asked, job)


def check(context: command.Context, asked: argparse.Namespace) -> int:
    fraction = 1.0 if asked.read_data else asked.fraction or 0.0
    job = repositories.check(context.catalog, asked.name, fraction)
    return waiting.answer(context, asked, job)


def rebuild(context: command.Context, asked: argparse.Namespace) -> int:
    job = repositories.rebuild(context.catalog, asked.name)
    return waiting.answer(context, asked, job)


def export_records(context: command.Context, asked: argparse.Namespace) -> int:
    exported = exporting.export(
        context.catalog, asked.name, asked.project_id, asked.volume_id
    )
    if asked.output is None:
        records.write(sys.stdout, exported, asked.json)
        return 0
    with records.open_new(asked.output) as file:
        count = records.write(file, exported, asked.json)
    context.out.one(export={'file': asked.output, 'records': count})
    return 0
