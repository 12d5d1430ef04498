# SPDX-License-Identifier: Apache-2.0
"""Jobs."""

import argparse
import itertools
from typing import Any

from cliff import columns

from ebackup_driver.osc import arguments
from ebackup_driver.osc import output
from ebackup_driver.osc import progress
from ebackup_driver import resources

_COLUMNS = ('ID', 'Kind', 'State', 'Progress', 'Image', 'Volume', 'Created At')
_LONG_COLUMNS = ('Repository', 'Proxy', 'Rate', 'Remaining', 'Error')


class Exports(columns.FormattableColumn[Any]):
    """What Cinder may export for a job, and to which proxies."""

    def human_readable(self) -> str:
        return ', '.join(
            f'{one["type"]} {one["id"]} to {one["proxy"]}'
            for one in self._value or ()
        )

    def machine_readable(self) -> Any:
        return self._value


def show(job: resources.Job) -> output.Fields:
    """Return a job with its progress and error in fields of their own."""
    fields = job.to_dict()
    for name, value in (fields.pop('progress') or {}).items():
        fields[f'progress_{name}'] = value
    sizes = [name for name in fields if name.startswith('progress_bytes')]
    fields['exported'] = Exports(fields['exported'])
    return output.fields(fields, sizes)


class ListJobs(output.Lister):
    """List jobs, those that run and those that ran"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--state', metavar='<state>', help='in this state only'
        )
        parser.add_argument(
            '--kind',
            metavar='<kind>',
            help='of this kind only: backup, restore, delete, gc, check, '
            'create, takeover, rebuild or release',
        )
        parser.add_argument(
            '--image', metavar='<image-id>', help='of this image only'
        )
        parser.add_argument(
            '--exported',
            action='store_true',
            help='of those that ended a while ago only such for which Cinder '
            'may still export a volume or snapshot to a proxy, since their '
            'driver did not get to ending that',
        )
        parser.add_argument(
            '--long', action='store_true', help='show more columns'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Table:
        jobs = self.client.jobs(
            state=parsed_args.state,
            kind=parsed_args.kind,
            image_id=parsed_args.image,
            exported=parsed_args.exported,
        )
        headings, parts = [*_COLUMNS], [_row]
        if parsed_args.exported:
            headings.append('Exported')
            parts.append(_exported)
        if parsed_args.long:
            headings.extend(_LONG_COLUMNS)
            parts.append(_more)
        return headings, (
            tuple(itertools.chain.from_iterable(part(j) for part in parts))
            for j in jobs
        )


def _row(job: resources.Job) -> tuple[Any, ...]:
    return (
        job.id,
        job.kind,
        job.state,
        job.advance.percent,
        job.image_id,
        job.volume_id,
        job.created_at,
    )


def _exported(job: resources.Job) -> tuple[Any, ...]:
    return (Exports(job.exported),)


def _more(job: resources.Job) -> tuple[Any, ...]:
    error = job.error or {}
    return (
        job.repository,
        job.proxy,
        output.Bytes(job.advance.rate),
        job.advance.remaining,
        error.get('message'),
    )


class ShowJob(output.ShowOne):
    """Show a job and its progress"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'job', metavar='<job>', type=arguments.uuid, help='its ID'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        return show(self.client.job(parsed_args.job))


class CancelJob(output.ShowOne):
    """Cancel a job

    A running one ends when its proxy has stopped reading and writing.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'job', metavar='<job>', type=arguments.uuid, help='its ID'
        )
        progress.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        job = self.client.cancel(parsed_args.job)
        if parsed_args.wait:
            job = progress.follow(self.client, job)
        return show(job)
