# SPDX-License-Identifier: Apache-2.0
"""What the commands have in common."""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
from typing import Any, Self

from oslo_config import cfg

from ebackup_service.cmd import catalogs
from ebackup_service.cmd.manage import output
from ebackup_service.server.catalog import database

Nouns = Any  # what argparse gives for sub-commands; it has no public name


@dataclasses.dataclass(frozen=True)
class Context:
    """What a command works with."""

    conf: cfg.ConfigOpts
    catalog: database.Catalog
    out: output.Output

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, conf: cfg.ConfigOpts, asked: argparse.Namespace
    ) -> Iterator[Self]:
        with contextlib.ExitStack() as stack:
            catalog = catalogs.opened(conf, stack, asked.noun == 'db')
            with catalogs.explained(conf):
                yield cls(conf, catalog, output.Output(asked.json))


Run = Callable[[Context, argparse.Namespace], int]


def noun(nouns: Nouns, name: str, summary: str) -> Nouns:
    """Add a noun; return what its verbs are added to."""
    parser = nouns.add_parser(name, help=summary, description=summary)
    parser.set_defaults(noun=name)
    return parser.add_subparsers(title='verbs', required=True, metavar='VERB')


def verb(
    verbs: Nouns, name: str, run: Run, summary: str, *aliases: str
) -> argparse.ArgumentParser:
    """Add a verb with its ``--json``; return the parser for its arguments."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=summary, description=summary, aliases=list(aliases)
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.set_defaults(run=run)
    return parser


def add_waiting(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that starts a job."""
    parser.add_argument(
        '--wait',
        action='store_true',
        help='wait for the end of the job, and show its progress',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=None,
        metavar='SECONDS',
        help='wait no longer than this',
    )
