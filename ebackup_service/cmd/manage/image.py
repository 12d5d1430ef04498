# SPDX-License-Identifier: Apache-2.0
"""Backup images."""

import argparse
from collections.abc import Iterator

from ebackup_service.api.schemas import image as schemas
from ebackup_service.api.views import image as views
from ebackup_service.cmd.manage import command
from ebackup_service.cmd.manage import waiting
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server import images

COLUMNS = (
    'id',
    'volume_id',
    'project_id',
    'repository',
    'generation',
    'state',
    'kind',
    'size',
    'bytes_stored',
    'damaged_bytes',
    'created_at',
)


def add_to(nouns: command.Nouns) -> None:
    verbs = command.noun(nouns, 'image', 'backup images')
    parser = command.verb(
        verbs, 'list', list_images, 'list the images of all projects'
    )
    parser.add_argument('--project-id', metavar='ID')
    parser.add_argument('--volume-id', metavar='ID')
    parser.add_argument('--state', choices=schemas.STATES)
    parser = command.verb(verbs, 'show', show, 'show an image')
    parser.add_argument('id', metavar='ID')
    parser = command.verb(
        verbs,
        'set',
        change,
        'allow, or refuse, to restore what is not damaged of an image',
    )
    parser.add_argument('id', metavar='ID')
    parser.add_argument(
        '--restore-damaged',
        action=argparse.BooleanOptionalAction,
        required=True,
        help='restore the rest of it, with zeros where it is damaged',
    )
    parser = command.verb(
        verbs,
        'delete',
        delete,
        'delete an image; Cinder still lists its backup afterwards',
    )
    parser.add_argument('id', metavar='ID')
    command.add_waiting(parser)


def list_images(context: command.Context, asked: argparse.Namespace) -> int:
    found = [views.show(image) for image in _every(context, asked)]
    context.out.many('images', found, COLUMNS)
    return 0


def _every(
    context: command.Context, asked: argparse.Namespace
) -> Iterator[image_rows.Image]:
    marker = None
    while True:
        found, marker = images.list(
            context.catalog,
            project_id=asked.project_id,
            volume_id=asked.volume_id,
            state=asked.state,
            marker=marker,
        )
        yield from found
        if marker is None:
            return


def show(context: command.Context, asked: argparse.Namespace) -> int:
    image = images.show(context.catalog, asked.id)
    context.out.one(image=views.detail(image))
    return 0


def change(context: command.Context, asked: argparse.Namespace) -> int:
    image = images.update(
        context.catalog, asked.id, restore_damaged=asked.restore_damaged
    )
    context.out.one(image=views.detail(image))
    return 0


def delete(context: command.Context, asked: argparse.Namespace) -> int:
    # A mistyped id must not leave a tombstone.
    images.show(context.catalog, asked.id)
    job = images.delete(context.catalog, asked.id)
    if job is None:
        context.out.one(job=None)
        return 0
    return waiting.answer(context, asked, job)
