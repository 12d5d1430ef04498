# SPDX-License-Identifier: Apache-2.0
"""Production storages, and the keys that encrypt their credentials."""

import argparse
import json
import sys
from typing import Any

from ebackup_service.api import errors as api_errors
from ebackup_service.api.schemas import storage as schemas
from ebackup_service.api import validation
from ebackup_service.api.views import storage as views
from ebackup_service.cmd.manage import command
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import credentials
from ebackup_service.server import storages

COLUMNS = (
    'name',
    'kind',
    'backends',
    'trust',
    'anchors',
    'configured',
    'refused_since',
    'refused_hosts',
)


def add_to(nouns: command.Nouns) -> None:
    verbs = command.noun(nouns, 'storage', 'production storages')
    command.verb(verbs, 'list', list_storages, 'list production storages')
    parser = command.verb(
        verbs, 'create', create, 'register a production storage'
    )
    _add_name(parser)
    parser.add_argument(
        'kind', metavar='KIND', help='what it is, for instance rbd'
    )
    _add_values(parser)
    parser = command.verb(verbs, 'show', show, 'show a production storage')
    _add_name(parser)
    parser = command.verb(
        verbs,
        'set',
        change,
        'change a production storage; what is named replaces what was there',
    )
    _add_name(parser)
    _add_values(parser).add_argument(
        '--no-credentials',
        action='store_true',
        help='forget the credentials',
    )
    parser = command.verb(
        verbs,
        'delete',
        delete,
        'forget a production storage; nothing happens on it',
    )
    _add_name(parser)
    parser.add_argument(
        '--force',
        action='store_true',
        help='for one that is gone for good: forget the snapshots of ours on '
        'it, too, and tell which these are',
    )
    command.verb(
        verbs,
        'create-key',
        create_key,
        'make a key that encrypts the credentials of storages from now on, '
        'and put it before the others in the key file, which is made if it '
        'is missing',
    )
    command.verb(
        verbs,
        'reencrypt',
        reencrypt,
        'encrypt the credentials of all storages with the first key of the '
        'key file, after which the others are not needed any more',
    )


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('name', metavar='NAME')


def _add_values(parser: argparse.ArgumentParser) -> Any:
    """Return the group of what says which credentials there are."""
    parser.add_argument(
        '--backend',
        action='append',
        dest='backends',
        metavar='HOST@BACKEND',
        help='a back end of Cinder whose volumes are on it: their host up to '
        '"#"; may be repeated',
    )
    parser.add_argument(
        '--setting',
        action='append',
        dest='settings',
        type=_setting,
        metavar='NAME=VALUE',
        help='how it is reached; VALUE is JSON, or else text; may be repeated',
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        '--credentials',
        metavar='FILE',
        help='a file with the credentials, a JSON object; -: standard input',
    )
    parser.add_argument(
        '--trust',
        choices=storage_rows.TRUSTS,
        help='shadow: what it says of changes is compared, not relied upon',
    )
    parser.add_argument(
        '--anchors',
        action=argparse.BooleanOptionalAction,
        help='leave a snapshot of each volume on it, against which the next '
        'backup reads only what changed',
    )
    return group


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition('=')
    if not name or not equals:
        raise argparse.ArgumentTypeError('not of the form NAME=VALUE')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _values(asked: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, and no more."""
    values = {
        'backends': asked.backends,
        'settings': None if asked.settings is None else dict(asked.settings),
        'credentials': _credentials(asked.credentials),
        'trust': asked.trust,
        'anchors': asked.anchors,
    }
    return {key: values[key] for key in values if values[key] is not None}


def _credentials(path: str | None) -> Any:
    if path is None:
        return None
    try:
        if path == '-':
            return json.load(sys.stdin)
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except ValueError:
        # which may quote some of it
        raise api_errors.BadRequest(
            f'credentials in {path}: not JSON, such as {{"key": "…"}}'
        ) from None


def list_storages(context: command.Context, asked: argparse.Namespace) -> int:
    found = [views.show(s) for s in storages.list(context.catalog)]
    context.out.many('storages', found, COLUMNS)
    return 0


def create(context: command.Context, asked: argparse.Namespace) -> int:
    wanted = {'backends': [], **_values(asked)}
    wanted.update(name=asked.name, kind=asked.kind)
    validation.check(wanted, schemas.STORAGE, 'storage', secret=True)
    storage = storages.create(context.catalog, context.conf, **wanted)
    context.out.one(storage=views.show(storage))
    return 0


def show(context: command.Context, asked: argparse.Namespace) -> int:
    storage = storages.show(context.catalog, asked.name)
    context.out.one(storage=views.show(storage))
    return 0


def change(context: command.Context, asked: argparse.Namespace) -> int:
    wanted = _values(asked)
    if asked.no_credentials:
        wanted['credentials'] = None
    if not wanted:
        raise api_errors.BadRequest('nothing to change: give some option')
    validation.check(wanted, schemas.CHANGE, 'storage', secret=True)
    storage = storages.update(
        context.catalog, context.conf, asked.name, **wanted
    )
    context.out.one(storage=views.show(storage))
    return 0


def delete(context: command.Context, asked: argparse.Namespace) -> int:
    storage, left = storages.delete(context.catalog, asked.name, asked.force)
    context.out.one(
        storage=views.abandoned(storage, left) if asked.force else None
    )
    return 0


def create_key(context: command.Context, asked: argparse.Namespace) -> int:
    path = credentials.create_key(context.conf)
    context.out.one(key={'file': path})
    return 0


def reencrypt(context: command.Context, asked: argparse.Namespace) -> int:
    count = storages.reencrypt(context.catalog, context.conf)
    context.out.one(credentials={'storages': count})
    return 0
