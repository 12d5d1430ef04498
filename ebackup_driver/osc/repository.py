# SPDX-License-Identifier: Apache-2.0
"""Repositories."""

import argparse

from ebackup_driver.osc import job as jobs
from ebackup_driver.osc import output
from ebackup_driver.osc import progress

_COLUMNS = {'Name': 'name', 'URL': 'url', 'State': 'state', 'ID': 'id'}
_SIZES = ('total', 'free', 'used')


class _OfOne(output.ShowOne):
    """A command about one repository."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('name', metavar='<name>', help='its name')
        return parser


class CreateRepository(_OfOne):
    """Create a repository"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'url',
            metavar='<url>',
            help='where it lies, e.g. file:///srv/backup; every proxy that '
            'is to use it must reach it there',
        )
        progress.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        repository, job = self.client.create_repository(
            {'name': parsed_args.name, 'url': parsed_args.url}
        )
        if parsed_args.wait and job is not None:
            progress.wait(self.client, job)
            repository = self.client.repository(parsed_args.name)
        return output.fields(repository)


class ListRepositories(output.Lister):
    """List repositories"""

    def take_action(self, parsed_args: argparse.Namespace) -> output.Table:
        return output.table(_COLUMNS, self.client.repositories())


class ShowRepository(_OfOne):
    """Show a repository"""

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        return output.fields(self.client.repository(parsed_args.name))


class DeleteRepository(_OfOne):
    """Let the service forget a repository that has no images

    What is stored at its URL stays as it is.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        return output.fields(self.client.delete_repository(parsed_args.name))


class ShowUsage(_OfOne):
    """Show how much space a repository takes"""

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        usage = self.client.repository_usage(parsed_args.name)
        return output.fields(usage, _SIZES)


class CollectRepository(_OfOne):
    """Give back the space of deleted images (garbage collection)

    It also happens by itself; this does it now.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        progress.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        job = self.client.collect(parsed_args.name)
        if parsed_args.wait:
            job = progress.wait(self.client, job)
        return jobs.show(job)


class RebuildCatalog(_OfOne):
    """Let the service know again what a repository holds

    For a service that lost its catalog, or a part of it. With --wait, what is
    damaged, or differs from what the catalog knew, makes the command fail.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        progress.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        job = self.client.rebuild_catalog(parsed_args.name)
        if parsed_args.wait:
            job = progress.wait(self.client, job)
            result = job.result or {}
            if result.get('problems') or result.get('differences'):
                self.exit_code = 1
        return jobs.show(job)


class CheckRepository(_OfOne):
    """Check that a repository is complete and undamaged

    With --wait, problems that were found make the command fail.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--read-data',
            action='store_true',
            help='read and verify every chunk of data, too; takes long',
        )
        parser.add_argument(
            '--fraction',
            metavar='<fraction>',
            type=float,
            help='read and verify this part of the data, from 0 to 1: that '
            'which was not read for longest',
        )
        progress.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        job = self.client.check(
            parsed_args.name, parsed_args.read_data, parsed_args.fraction
        )
        if parsed_args.wait:
            job = progress.wait(self.client, job)
            if (job.result or {}).get('problems'):
                self.exit_code = 1
        return jobs.show(job)
