# SPDX-License-Identifier: Apache-2.0
"""Production storages."""

import argparse
import json
import sys
from typing import Any

from osc_lib import exceptions

from ebackup_driver.osc import output

_COLUMNS = {
    'Name': 'name',
    'Kind': 'kind',
    'Back Ends': 'backends',
    'Trust': 'trust',
    'Anchors': 'anchors',
    'Refused Since': 'refused_since',
    'Refused Hosts': 'refused_hosts',
    'ID': 'id',
}


class ListStorages(output.Lister):
    """List production storages"""

    def take_action(self, parsed_args: argparse.Namespace) -> output.Table:
        return output.table(_COLUMNS, map(_named, self.client.storages()))


class _OfOne(output.ShowOne):
    """A command about one storage."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('name', metavar='<name>', help='its name')
        return parser


class ShowStorage(_OfOne):
    """Show a production storage, without its credentials"""

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        return output.fields(self.client.storage(parsed_args.name))


class _Described(_OfOne):
    """A command that says what a storage is."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--backend',
            action='append',
            dest='backends',
            metavar='<host@backend>',
            help='a back end of Cinder whose volumes are on it: their host up '
            'to "#" (may be repeated)',
        )
        parser.add_argument(
            '--setting',
            action='append',
            dest='settings',
            type=_setting,
            metavar='<name=value>',
            help='how it is reached; the value is JSON, or else text (may be '
            'repeated)',
        )
        self.add_credentials(parser.add_mutually_exclusive_group())
        parser.add_argument(
            '--trust',
            choices=('trusted', 'shadow'),
            help='shadow: what it says of changes is compared, not relied '
            'upon',
        )
        parser.add_argument(
            '--anchors',
            action=argparse.BooleanOptionalAction,
            help='leave a snapshot of each volume on it, against which the '
            'next backup reads only what changed',
        )
        return parser

    def add_credentials(self, group: Any) -> None:
        """Add the options of which one says what credentials there are."""
        group.add_argument(
            '--credentials',
            metavar='<file>',
            help='a file with the credentials, a JSON object; - is standard '
            'input',
        )


class CreateStorage(_Described):
    """Register a production storage"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'kind', metavar='<kind>', help='what it is, for instance rbd'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        described = {'backends': [], **_described(parsed_args)}
        described.update(name=parsed_args.name, kind=parsed_args.kind)
        return output.fields(self.client.create_storage(described))


class SetStorage(_Described):
    """Change a production storage

    What is named replaces what was there: all back ends, all settings.
    """

    def add_credentials(self, group: Any) -> None:
        super().add_credentials(group)
        group.add_argument(
            '--no-credentials',
            action='store_true',
            help='let the service forget the credentials',
        )

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        changes = _described(parsed_args)
        if parsed_args.no_credentials:
            changes['credentials'] = None
        if not changes:
            raise exceptions.CommandError('Nothing to change: give an option')
        return output.fields(
            self.client.update_storage(parsed_args.name, changes)
        )


class DeleteStorage(_OfOne):
    """Forget a production storage; nothing happens on it

    One that still has snapshots that the service has made is not forgotten
    without --force.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--force',
            action='store_true',
            help='for a storage that is gone for good: forget these snapshots '
            'as well, and tell which they are',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        name = parsed_args.name
        left = self.client.delete_storage(name, parsed_args.force)
        return output.fields(left or {'name': name, 'state': 'deleted'})


def _named(storage: dict[str, Any]) -> dict[str, Any]:
    """With no more of the hosts that it refuses than their names."""
    refused = storage.get('refused_hosts', ())
    return {**storage, 'refused_hosts': [each['host'] for each in refused]}


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition('=')
    if not name or not equals:
        raise argparse.ArgumentTypeError('not of the form <name=value>')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _described(asked: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, and no more."""
    described = {
        'backends': asked.backends,
        'settings': None if asked.settings is None else dict(asked.settings),
        'credentials': _credentials(asked.credentials),
        'trust': asked.trust,
        'anchors': asked.anchors,
    }
    return {k: v for k, v in described.items() if v is not None}


def _credentials(path: str | None) -> Any:
    if path is None:
        return None
    try:
        if path == '-':
            return json.load(sys.stdin)
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except OSError as error:
        raise exceptions.CommandError(
            f'Credentials in {path}: {error.strerror}'
        ) from error
    except ValueError:
        # which may quote some of it
        raise exceptions.CommandError(
            f'Credentials in {path}: not JSON, such as {{"key": "…"}}'
        ) from None
