# SPDX-License-Identifier: Apache-2.0
"""The catalog's tables."""

import argparse

from ebackup_service.cmd.manage import command


def add_to(nouns: command.Nouns) -> None:
    verbs = command.noun(nouns, 'db', "the catalog's tables")
    command.verb(
        verbs, 'sync', sync, 'make the tables, or bring them up to date'
    )
    command.verb(verbs, 'version', version, 'show the version of the tables')


def sync(context: command.Context, asked: argparse.Namespace) -> int:
    context.catalog.upgrade()
    return version(context, asked)


def version(context: command.Context, asked: argparse.Namespace) -> int:
    context.out.one(db={'version': context.catalog.version()})
    return 0
